//! How far a text goes without anything special: the innermost loops of the gateway.

use wide::u8x16;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const BLOCK: usize = 16;
/// What [`specials`] looks at in one go.
pub const WIDE: usize = 4 * BLOCK;

/// How many leading bytes may stand in a JSON string as they are: neither a quote, a backslash nor a
/// control character (RFC 8259 §7). For short texts; [`specials`] and [`long_run`] are for others.
pub fn string_run(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = text[at..].first_chunk() {
        if let Some(found) = first_special(block) {
            return at + found;
        }
        at += BLOCK;
    }
    let specials = |word| below_space(word) | equal(word, b'"') | equal(word, b'\\');
    at + run(&text[at..], specials, |byte| byte < 0x20 || byte == b'"' || byte == b'\\')
}

/// Where the first byte is that may not stand in a JSON string as it is.
#[inline]
pub fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    let mask = specials_of(block);
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

/// The bytes that may not stand in a JSON string as they are, one bit each.
#[inline]
pub fn specials(block: &[u8; WIDE]) -> u64 {
    let (parts, _) = block.as_chunks();
    parts.iter().rev().fold(0, |mask, part| mask << BLOCK | u64::from(specials_of(part)))
}

#[inline]
fn specials_of(block: &[u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(*block);
    let is_control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let is_special =
        is_control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
    is_special.to_bitmask()
}

/// As [`string_run`], for texts: where it ends is found by vector instructions, and so is whether there
/// is a control character before, which there hardly ever is. It takes time to begin.
pub fn long_run(text: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let lowest = text[..end].iter().fold(u8::MAX, |lowest, &byte| lowest.min(byte));
    if lowest >= 0x20 {
        return end;
    }
    text.iter().position(|&byte| byte < 0x20).unwrap_or(end)
}

/// As [`string_run`], but DEL is special too; for names and other short texts.
pub fn quiet_run(text: &[u8]) -> usize {
    let specials =
        |word| below_space(word) | equal(word, b'"') | equal(word, b'\\') | equal(word, 0x7f);
    run(text, specials, |byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f))
}

/// How many leading bytes are visible ASCII or spaces, 0x20 to 0x7E: what a header's value is made of
/// (RFC 9110 §5.5).
pub fn visible_run(text: &[u8]) -> usize {
    let specials = |word| below_space(word) | equal(word, 0x7f) | word;
    run(text, specials, |byte| !(0x20..0x7f).contains(&byte))
}

/// Sets the high bit of each lane whose byte is below 0x20, and perhaps of lanes above such a one
/// (the classic "has a byte less than n" test on words).
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word
}

/// As [`below_space`], of each lane whose byte is this one.
fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * u64::from(byte));
    other.wrapping_sub(ONES) & !other
}

/// `specials`: the same as `is_special`, on eight bytes.
#[inline]
fn run(text: &[u8], specials: impl Fn(u64) -> u64, is_special: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while let Some(&bytes) = text[at..].first_chunk() {
        let found = specials(u64::from_le_bytes(bytes)) & HIGHS;
        if found != 0 {
            // Lanes above the first may be false; the first is always true.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = &text[at..];
    at + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{WIDE, long_run, quiet_run, specials, string_run, visible_run};

    fn slowly(text: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
        text.iter().position(|&byte| is_special(byte)).unwrap_or(text.len())
    }

    #[test]
    fn finds_every_byte_at_every_place() {
        for length in 0..200 {
            let text = vec![b'a'; length];
            assert_eq!((string_run(&text), visible_run(&text)), (length, length));
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = text.clone();
                    text[at] = byte;
                    // A second special byte behind must not be taken for the first.
                    text[length - 1] = b'\n';
                    let string = slowly(&text, |byte| byte < 32 || b"\"\\".contains(&byte));
                    let visible = slowly(&text, |byte| !(b' '..=b'~').contains(&byte));
                    let quiet = slowly(&text, |byte| byte < 32 || b"\"\\\x7f".contains(&byte));
                    assert_eq!(string_run(&text), string, "{byte} at {at} of {length}");
                    assert_eq!(long_run(&text), string, "{byte} at {at} of {length}");
                    if let Some(block) = text.first_chunk::<WIDE>() {
                        let first = specials(block).trailing_zeros() as usize;
                        assert_eq!(first, string.min(WIDE), "{byte} at {at} of {length}");
                    }
                    assert_eq!(quiet_run(&text), quiet, "{byte} at {at} of {length}");
                    assert_eq!(visible_run(&text), visible, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
