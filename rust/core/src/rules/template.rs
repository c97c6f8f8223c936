//! The chunk before as a template: nearly every chunk of a stream differs from it in one string
//! alone, the text that it adds. Such a chunk needs no reading and no edits.

use penstock_wire::json::{Edits, Span, is_string_content};

/// What a rule leaves of the short way through a template, on one chunk. Of several the last in this order
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FastPath {
    /// The rule treats every chunk alike that differs from this one in its text alone: it may be the template.
    Kept,
    /// It may not; the template before it stays good.
    Passed,
    /// No template that was learned before is good any more.
    Ended,
}

/// One chunk as it came and as it went, each without the text in its middle. All four parts lie one
/// behind the other: with many streams they are rarely in a cache, and neighbours come together.
#[derive(Debug, Default)]
pub(super) struct Template {
    parts: Vec<u8>,
    /// Where what came before the text ends, where what came ends, and where what went before the text
    /// ends. All zero: nothing was learned.
    cuts: [usize; 3],
}

impl Template {
    pub(super) fn forget(&mut self) {
        self.cuts = [0; 3];
    }

    /// Learns from a chunk that went through `edits` to become `output`. `text`: between the quotes of
    /// the string that may vary, which no edit has touched; `start`: where the chunk starts in the
    /// output.
    pub(super) fn learn(
        &mut self,
        source: &[u8],
        text: Span,
        edits: &Edits,
        output: &[u8],
        start: usize,
    ) {
        self.parts.clear();
        self.parts.extend_from_slice(&source[..text.start]);
        self.parts.extend_from_slice(&source[text.end..]);
        let came = self.parts.len();
        let moved = start + edits.new_position(text.start);
        self.parts.extend_from_slice(&output[..moved]);
        self.parts.extend_from_slice(&output[moved + text.len()..]);
        self.cuts = [text.start, came, came + moved];
    }

    /// The text that a chunk adds, if it differs from the template in nothing else.
    #[inline]
    pub(super) fn text_in<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let [before, came, _] = self.cuts;
        if before == 0 {
            return None;
        }
        let (before, behind) = self.parts[..came].split_at(before);
        let text = data.strip_prefix(before)?.strip_suffix(behind)?;
        // Most pieces are a few letters, and too short for what the library does about long ones.
        let is_utf8 = text.is_ascii() || std::str::from_utf8(text).is_ok();
        let fits = !text.is_empty() && is_utf8;
        (fits && is_string_content(text)).then_some(text)
    }

    /// Appends what becomes of a chunk with this text.
    #[inline]
    pub(super) fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        let [_, came, before] = self.cuts;
        let (before, behind) = (&self.parts[came..before], &self.parts[before..]);
        // The memory is that of the event before: it has the room.
        out.extend_from_slice(before);
        out.extend_from_slice(text);
        out.extend_from_slice(behind);
    }
}
