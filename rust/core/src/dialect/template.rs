//! The chunk before as a template: nearly every chunk of a stream differs from it in one string
//! alone, the text that it adds. Such a chunk needs no reading and no edits.

use crate::json::{Edits, Span, is_inside_of_string};

/// One chunk as it came and as it went, each without the text in its middle.
#[derive(Debug, Default)]
pub(super) struct Template {
    source: Halves,
    output: Halves,
}

/// What stands before and behind the text. Empty: nothing was learned.
#[derive(Debug, Default)]
struct Halves {
    both: Vec<u8>,
    before: usize,
}

impl Halves {
    /// Keeps `whole` without what stands at `text`.
    fn keep(&mut self, whole: &[u8], text: Span) {
        self.both.clear();
        self.both.extend_from_slice(&whole[..text.start]);
        self.both.extend_from_slice(&whole[text.end..]);
        self.before = text.start;
    }

    fn split(&self) -> (&[u8], &[u8]) {
        self.both.split_at(self.before)
    }
}

impl Template {
    pub(super) fn forget(&mut self) {
        self.source.both.clear();
        self.source.before = 0;
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
        self.source.keep(source, text);
        let moved = start + edits.moved(text.start);
        self.output.keep(output, Span { start: moved, end: moved + text.len() });
    }

    /// The text that a chunk adds, if it differs from the template in nothing else.
    pub(super) fn text_in<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let (before, behind) = self.source.split();
        if before.is_empty() {
            return None;
        }
        let text = data.strip_prefix(before)?.strip_suffix(behind)?;
        let fits = !text.is_empty() && std::str::from_utf8(text).is_ok();
        (fits && is_inside_of_string(text)).then_some(text)
    }

    /// Appends what becomes of a chunk with this text.
    pub(super) fn write(&self, text: &[u8], out: &mut Vec<u8>) {
        let (before, behind) = self.output.split();
        out.reserve(before.len() + text.len() + behind.len());
        out.extend_from_slice(before);
        out.extend_from_slice(text);
        out.extend_from_slice(behind);
    }
}
