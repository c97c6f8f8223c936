//! Edits of a JSON text by byte range. Text outside of these ranges is copied unchanged.

use super::Span;

#[derive(Debug, Clone, Copy)]
struct Edit {
    /// The range of the source that is removed; empty for an insertion.
    removed: Span,
    /// The range of `Edits::new_text` that replaces it.
    inserted: Span,
}

/// A set of edits. Reuse it after [`Edits::clear`]: it keeps its memory.
#[derive(Debug)]
pub struct Edits {
    edits: Vec<Edit>,
    new_text: Vec<u8>,
}

impl Default for Edits {
    /// With capacity for the edits of a usual text.
    fn default() -> Self {
        Edits { edits: Vec::with_capacity(8), new_text: Vec::with_capacity(192) }
    }
}

impl Edits {
    pub fn clear(&mut self) {
        self.edits.clear();
        self.new_text.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Replaces a range by the text that `write` appends.
    pub fn replace(&mut self, removed: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.new_text.len();
        write(&mut self.new_text);
        self.edits.push(Edit { removed, inserted: Span { start, end: self.new_text.len() } });
    }

    pub fn insert(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.replace(Span { start: at, end: at }, write);
    }

    pub fn remove(&mut self, removed: Span) {
        self.replace(removed, |_| ());
    }

    /// The position, after all edits, of a byte that none of them removes.
    pub fn new_position(&self, at: usize) -> usize {
        self.edits
            .iter()
            .filter(|edit| edit.removed.end <= at)
            .fold(at, |at, edit| at + edit.inserted.len() - edit.removed.len())
    }

    /// Appends `source` with all edits made. Ranges must not overlap; insertions at one position keep
    /// their order.
    pub fn apply(&mut self, source: &[u8], out: &mut Vec<u8>) {
        self.apply_from(0, source, out);
    }

    /// As [`Self::apply`], without the text before `start`. No edit may lie there.
    pub fn apply_from(&mut self, start: usize, source: &[u8], out: &mut Vec<u8>) {
        if !self.edits.is_sorted_by_key(|edit| edit.removed.start) {
            self.edits.sort_by_key(|edit| edit.removed.start);
        }
        let mut copied = start;
        for edit in &self.edits {
            out.extend_from_slice(&source[copied..edit.removed.start]);
            out.extend_from_slice(edit.inserted.of(&self.new_text));
            copied = edit.removed.end;
        }
        out.extend_from_slice(&source[copied..]);
    }
}
