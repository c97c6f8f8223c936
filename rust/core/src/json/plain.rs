//! How far a string goes without anything special: the innermost loop of the whole gateway.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// Bytes in a step of the wide loop, which the compiler turns into vector instructions.
const WIDE: usize = 32;
/// Words looked at before the wide loop begins: names and numbers end within them.
const WORDS: usize = 2;

/// How many leading bytes are neither a quote, a backslash nor a control character.
pub(crate) fn plain_run(text: &[u8]) -> usize {
    let mut at = 0;
    for _ in 0..WORDS {
        match first_special(&text[at..]) {
            Word::Plain => at += 8,
            Word::Special(length) => return at + length,
            Word::Short => return at + slowly(&text[at..]),
        }
    }
    while let Some(block) = text[at..].first_chunk::<WIDE>() {
        // No early exit inside: only so is it one comparison of many bytes.
        let found = block.iter().fold(0, |found, &byte| found | u8::from(is_special(byte)));
        if found != 0 {
            break;
        }
        at += WIDE;
    }
    loop {
        match first_special(&text[at..]) {
            Word::Plain => at += 8,
            Word::Special(length) => return at + length,
            Word::Short => return at + slowly(&text[at..]),
        }
    }
}

enum Word {
    /// Eight bytes of plain text.
    Plain,
    /// So many plain bytes, then a special one.
    Special(usize),
    /// Fewer than eight bytes are left.
    Short,
}

/// Looks at eight bytes: one below 0x20, or equal to one of the two, sets the high bit of its lane
/// (the classic "has a byte less than n" test on words).
fn first_special(text: &[u8]) -> Word {
    let Some(&bytes) = text.first_chunk::<8>() else { return Word::Short };
    let word = u64::from_le_bytes(bytes);
    let quote = word ^ (ONES * u64::from(b'"'));
    let backslash = word ^ (ONES * u64::from(b'\\'));
    let hit = (word.wrapping_sub(ONES * 0x20) & !word)
        | (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash);
    let hit = hit & HIGHS;
    // Lanes above the first hit may be false; the first is always true.
    if hit == 0 { Word::Plain } else { Word::Special((hit.trailing_zeros() / 8) as usize) }
}

fn slowly(text: &[u8]) -> usize {
    text.iter().position(|&byte| is_special(byte)).unwrap_or(text.len())
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use super::{plain_run, slowly};

    #[test]
    fn finds_every_byte_at_every_place() {
        for length in 0..150 {
            let text = vec![b'a'; length];
            assert_eq!(plain_run(&text), length);
            for at in 0..length {
                for byte in 0..=255 {
                    let mut text = text.clone();
                    text[at] = byte;
                    // A second special byte behind must not be taken for the first.
                    text[length - 1] = b'"';
                    assert_eq!(plain_run(&text), slowly(&text), "{byte} at {at} of {length}");
                }
            }
        }
    }
}
