//! Prompts: what people send, as it stands between the quotes of a JSON string.

use std::fmt::Write;
use std::str::FromStr;

/// What a prompt is made of. The same text comes out each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// One word again and again: nothing to escape, and the easiest there is.
    Word,
    /// English with quotation marks and paragraphs.
    Prose,
    /// Program text: an escaped line end every few words, and quotes.
    Code,
    /// Chinese as UTF-8.
    Chinese,
    /// Chinese as Python's `json.dumps` writes it: six bytes a character.
    Escaped,
    /// Half prose, the rest code and Chinese: a question about something that was pasted.
    Mixed,
}

pub const TEXTS: [(&str, Text); 6] = [
    ("word", Text::Word),
    ("prose", Text::Prose),
    ("code", Text::Code),
    ("chinese", Text::Chinese),
    ("escaped", Text::Escaped),
    ("mixed", Text::Mixed),
];

impl FromStr for Text {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or(())
    }
}

const WORDS: [&str; 32] = [
    "water",
    "the",
    "of",
    "a",
    "river",
    "that",
    "penstock",
    "was",
    "pressure",
    "and",
    "in",
    "to",
    "turbine",
    "as",
    "valve",
    "each",
    "reservoir",
    "when",
    "flow",
    "through",
    "gate",
    "it",
    "level",
    "with",
    "surge",
    "is",
    "canal",
    "not",
    "measured",
    "by",
    "engineer",
    "were",
];
const NAMES: [&str; 16] = [
    "flow", "gate", "level", "self", "total", "i", "rows", "valve", "limit", "now", "queue",
    "name", "result", "reading", "at", "left",
];
const SIGNS: [char; 16] = [
    '水', '河', '的', '压', '力', '管', '流', '在', '是', '大', '门', '量', '高', '不', '一', '了',
];

/// Exactly `bytes` bytes of it.
pub fn text(kind: Text, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes + 256);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    loop {
        let fits = out.len();
        match kind {
            Text::Word => out.push_str("river "),
            Text::Prose => sentence(&mut out, &mut dice),
            Text::Code => line(&mut out, &mut dice),
            Text::Chinese => clause(&mut out, &mut dice, false),
            Text::Escaped => clause(&mut out, &mut dice, true),
            Text::Mixed => match dice.below(8) {
                0..4 => sentence(&mut out, &mut dice),
                4..7 => (0..3).for_each(|_| line(&mut out, &mut dice)),
                _ => (0..3).for_each(|_| clause(&mut out, &mut dice, false)),
            },
        }
        if out.len() > bytes {
            // No piece is cut, because an escape or a character might be.
            out.truncate(fits);
            out.extend(std::iter::repeat_n('.', bytes - fits));
            return out;
        }
    }
}

/// A sentence of 6 to 21 words; one in four has a quotation, one in five ends a paragraph.
fn sentence(out: &mut String, dice: &mut Dice) {
    let (words, quoted) = (6 + dice.below(16), dice.below(4) == 0);
    for at in 0..words {
        let word = WORDS[dice.below(WORDS.len())];
        match at {
            0 => out.push_str(&(word[..1].to_uppercase() + &word[1..])),
            2 if quoted => out.extend(["\\\"", word, "\\\""]),
            _ => out.push_str(word),
        }
        out.push(if at + 1 == words { '.' } else { ' ' });
    }
    out.push_str(if dice.below(5) == 0 { "\\n\\n" } else { " " });
}

/// A line of a program: indented, and one in three has a string in it.
fn line(out: &mut String, dice: &mut Dice) {
    out.push_str(&"    ".repeat(1 + dice.below(4)));
    let mut name = || NAMES[dice.below(NAMES.len())];
    out.extend([name(), ".", name(), " = ", name(), "(", name(), ", "]);
    match dice.below(3) {
        0 => out.extend(["\\\"", NAMES[dice.below(NAMES.len())], "\\\""]),
        _ => out.push_str(NAMES[dice.below(NAMES.len())]),
    }
    out.push_str(" + 1)\\n");
}

/// 5 to 16 characters and a stop.
fn clause(out: &mut String, dice: &mut Dice, is_escaped: bool) {
    let mut push = |sign: char| {
        if is_escaped {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(sign));
        } else {
            out.push(sign);
        }
    };
    for _ in 0..5 + dice.below(12) {
        push(SIGNS[dice.below(SIGNS.len())]);
    }
    push(if dice.below(3) == 0 { '。' } else { '，' });
}

/// Marsaglia's xorshift: the same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}

#[cfg(test)]
mod tests {
    use super::{TEXTS, text};

    #[test]
    fn every_text_is_as_long_as_asked_and_stands_in_a_json_string() {
        for (name, kind) in TEXTS {
            for bytes in [0, 1, 7, 1000, 32_768] {
                let text = text(kind, bytes);
                assert_eq!(text.len(), bytes, "{name}");
                let read: Result<String, _> = serde_json::from_str(&format!("\"{text}\""));
                assert!(read.is_ok(), "{name}: {read:?}");
            }
        }
    }
}
