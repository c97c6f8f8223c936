//! Finds the first byte of a text that needs attention: the innermost loops of the gateway.

use wide::u8x16;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const BLOCK: usize = 16;
/// Bytes that [`special_mask`] examines at once.
pub const WIDE_BLOCK: usize = 4 * BLOCK;

/// How many leading bytes are `unescaped` in the grammar of RFC 8259 §7: neither a quote, a backslash nor a
/// control character. Those three are called special here. For short texts; [`special_mask`] and
/// [`long_unescaped_run`] are faster on long ones.
pub fn unescaped_run(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = text[at..].first_chunk() {
        if let Some(found) = first_special(block) {
            return at + found;
        }
        at += BLOCK;
    }
    let marks = |word| below_space(word) | equal(word, b'"') | equal(word, b'\\');
    at + run(&text[at..], marks, |byte| byte < 0x20 || byte == b'"' || byte == b'\\')
}

/// The position of the first special byte.
#[inline]
pub fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    let mask = block_mask(block);
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

/// One bit for each byte, the first the lowest; set if it is special.
#[inline]
pub fn special_mask(block: &[u8; WIDE_BLOCK]) -> u64 {
    let (parts, _) = block.as_chunks();
    parts.iter().rev().fold(0, |mask, part| mask << BLOCK | u64::from(block_mask(part)))
}

#[inline]
fn block_mask(block: &[u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(*block);
    let is_control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let is_special =
        is_control | bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
    is_special.to_bitmask()
}

/// As [`unescaped_run`], for long texts. Two vectorised passes, one for quotes and backslashes and one for control
/// characters, cost least per byte but more to start.
pub fn long_unescaped_run(text: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let lowest = text[..end].iter().fold(u8::MAX, |lowest, &byte| lowest.min(byte));
    if lowest >= 0x20 {
        return end;
    }
    text.iter().position(|&byte| byte < 0x20).unwrap_or(end)
}

/// As [`unescaped_run`], but it ends at DEL too. For short texts.
pub fn unescaped_run_without_del(text: &[u8]) -> usize {
    let marks =
        |word| below_space(word) | equal(word, b'"') | equal(word, b'\\') | equal(word, 0x7f);
    run(text, marks, |byte| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f))
}

/// How many leading bytes are printable ASCII, 0x20 to 0x7E, which header values consist of (RFC 9110 §5.5).
pub fn printable_run(text: &[u8]) -> usize {
    let marks = |word| below_space(word) | equal(word, 0x7f) | word;
    run(text, marks, |byte| !(0x20..0x7f).contains(&byte))
}

/// Sets the high bit of each byte below 0x20. The bits of bytes above the first such byte are unreliable
/// (the "has a byte less than n" test on words).
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word
}

/// As [`below_space`], for bytes that equal `byte`.
fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * u64::from(byte));
    other.wrapping_sub(ONES) & !other
}

/// How many leading bytes do not end the run. `marks` sets the high bit of each of eight bytes that ends it, and
/// `ends` says the same of one byte.
#[inline]
fn run(text: &[u8], marks: impl Fn(u64) -> u64, ends: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while let Some(&bytes) = text[at..].first_chunk() {
        let found = marks(u64::from_le_bytes(bytes)) & HIGHS;
        if found != 0 {
            // Only the lowest bit is reliable.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = &text[at..];
    at + rest.iter().position(|&byte| ends(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::{
        WIDE_BLOCK, long_unescaped_run, printable_run, special_mask, unescaped_run,
        unescaped_run_without_del,
    };

    fn slowly(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
        text.iter().position(|&byte| ends(byte)).unwrap_or(text.len())
    }

    #[test]
    fn finds_every_byte_at_every_place() {
        for length in 0..200 {
            let text = vec![b'a'; length];
            assert_eq!((unescaped_run(&text), printable_run(&text)), (length, length));
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = text.clone();
                    text[at] = byte;
                    // A second special byte behind must not be taken for the first.
                    text[length - 1] = b'\n';
                    let unescaped = slowly(&text, |byte| byte < 32 || b"\"\\".contains(&byte));
                    let printable = slowly(&text, |byte| !(b' '..=b'~').contains(&byte));
                    let without_del =
                        slowly(&text, |byte| byte < 32 || b"\"\\\x7f".contains(&byte));
                    assert_eq!(unescaped_run(&text), unescaped, "{byte} at {at} of {length}");
                    assert_eq!(long_unescaped_run(&text), unescaped, "{byte} at {at} of {length}");
                    if let Some(block) = text.first_chunk::<WIDE_BLOCK>() {
                        let first = special_mask(block).trailing_zeros() as usize;
                        assert_eq!(first, unescaped.min(WIDE_BLOCK), "{byte} at {at} of {length}");
                    }
                    assert_eq!(
                        unescaped_run_without_del(&text),
                        without_del,
                        "{byte} at {at} of {length}"
                    );
                    assert_eq!(printable_run(&text), printable, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
