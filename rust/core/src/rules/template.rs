//! The fast path. Nearly every chunk of a stream differs from the one before only in one string, the text
//! that it adds. With the previous chunk as a template, such a chunk is neither parsed nor edited.

use penstock_wire::json::{Edits, Span, is_string_content};

/// A rule's verdict on whether the chunk may become the template. Of several verdicts the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FastPath {
    /// The rule would treat a chunk with another text in the same way: this chunk may become the template.
    Kept,
    /// It may not, but the earlier template stays valid.
    Passed,
    /// It may not, and the earlier template is no longer valid.
    Ended,
}

/// One chunk as received and as sent, each split into the parts before and after the text. The four parts are
/// in one buffer: with many streams it is rarely in the CPU cache, and adjacent bytes are loaded together.
#[derive(Debug, Default)]
pub(super) struct Template {
    parts: Vec<u8>,
    /// End of the received part before the text, of the received part after it, and of the sent part before it.
    /// All zero: no template.
    cuts: [usize; 3],
}

impl Template {
    pub(super) fn forget(&mut self) {
        self.cuts = [0; 3];
    }

    /// Stores a chunk that `edits` turned into `output`. `text`: the range between the quotes of the string that
    /// may vary, which no edit has touched; `start`: where the chunk starts in the output.
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

    /// The text that a chunk adds, if the chunk differs from the template only in it.
    #[inline]
    pub(super) fn text_in<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let [before, came, _] = self.cuts;
        if before == 0 {
            return None;
        }
        let (before, behind) = self.parts[..came].split_at(before);
        let text = data.strip_prefix(before)?.strip_suffix(behind)?;
        // Most texts are a few ASCII letters; `from_utf8` is optimised for longer ones.
        let is_utf8 = text.is_ascii() || std::str::from_utf8(text).is_ok();
        let fits = !text.is_empty() && is_utf8;
        (fits && is_string_content(text)).then_some(text)
    }

    /// Appends the normalised chunk with this text.
    #[inline]
    pub(super) fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        let [_, came, before] = self.cuts;
        let (before, behind) = (&self.parts[came..before], &self.parts[before..]);
        // Three plain copies: `out` is reused, so its capacity is already large enough.
        out.extend_from_slice(before);
        out.extend_from_slice(text);
        out.extend_from_slice(behind);
    }
}
