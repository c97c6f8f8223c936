//! Names as they look to a decoder that does not tell upper from lower case.

/// The characters of a name folded, one for one.
///
/// Go's encoding/json takes a member for a field whose name is the same under Unicode simple folding: `ſ`
/// (U+017F) is an s to it, and the Kelvin sign (U+212A) a k. Java's `equalsIgnoreCase` folds by way of upper
/// case, which makes a few more alike; what either takes for the same is the same here.
pub fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| {
        let upper = only(c, c.to_uppercase());
        only(upper, upper.to_lowercase())
    })
}

/// What a character is mapped to, if it is one for one.
fn only(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Whether folding leaves a name as it is, which is all that is to be said of nearly every one.
pub fn is_folded(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}
