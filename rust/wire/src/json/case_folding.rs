//! Member names as a case-insensitive JSON decoder compares them.

/// The characters of a name in folded case, one for each of the name.
///
/// Go's encoding/json matches names under Unicode simple case folding: `ſ` (U+017F) equals s, and the Kelvin sign
/// (U+212A) equals k. Java's `equalsIgnoreCase` compares upper case first and matches a few more. Here two names are
/// equal if either of them matches.
pub fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| {
        let upper = single(c, c.to_uppercase());
        single(upper, upper.to_lowercase())
    })
}

/// The character that `c` is mapped to; `c` itself if it is mapped to several.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Whether folding leaves a name as it is. True of nearly every name, and cheaper than folding it.
pub fn is_folded(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
}
