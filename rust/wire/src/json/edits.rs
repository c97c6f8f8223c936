//! Edits of a JSON text by byte range: what no edit touches is copied as it stands.

use super::Span;

#[derive(Debug, Clone, Copy)]
struct Edit {
    /// The range of the source that goes away; empty for an insertion.
    gone: Span,
    /// The range of `Edits::fresh` that comes in its place.
    fresh: Span,
}

/// A set of edits, kept and reused so that one chunk after another allocates nothing.
#[derive(Debug)]
pub struct Edits {
    edits: Vec<Edit>,
    fresh: Vec<u8>,
}

impl Default for Edits {
    /// With room for what a usual text needs.
    fn default() -> Self {
        Edits { edits: Vec::with_capacity(8), fresh: Vec::with_capacity(192) }
    }
}

impl Edits {
    pub fn clear(&mut self) {
        self.edits.clear();
        self.fresh.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Replaces a range by what `write` appends.
    pub fn replace(&mut self, gone: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.fresh.len();
        write(&mut self.fresh);
        self.edits.push(Edit { gone, fresh: Span { start, end: self.fresh.len() } });
    }

    pub fn insert(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.replace(Span { start: at, end: at }, write);
    }

    pub fn remove(&mut self, gone: Span) {
        self.replace(gone, |_| ());
    }

    /// Where a byte that no edit touches stands once all edits are made.
    pub fn moved(&self, at: usize) -> usize {
        self.edits
            .iter()
            .filter(|edit| edit.gone.end <= at)
            .fold(at, |at, edit| at + edit.fresh.len() - edit.gone.len())
    }

    /// Appends `source` with all edits made. Ranges must not overlap; insertions at one place keep
    /// their order.
    pub fn apply(&mut self, source: &[u8], out: &mut Vec<u8>) {
        self.apply_from(0, source, out);
    }

    /// As [`Self::apply`], but for what stands before `start`, where no edit may be.
    pub fn apply_from(&mut self, start: usize, source: &[u8], out: &mut Vec<u8>) {
        if !self.edits.is_sorted_by_key(|edit| edit.gone.start) {
            self.edits.sort_by_key(|edit| edit.gone.start);
        }
        let mut copied = start;
        for edit in &self.edits {
            out.extend_from_slice(&source[copied..edit.gone.start]);
            out.extend_from_slice(edit.fresh.of(&self.fresh));
            copied = edit.gone.end;
        }
        out.extend_from_slice(&source[copied..]);
    }
}

/// Takes members out of one object, or elements out of one array, with the right commas.
///
/// Told of every member in order, it gives each removed one the comma before it; the first member
/// that stays after removed ones loses its own.
#[derive(Debug, Clone, Copy)]
pub struct Cutter {
    previous_end: usize,
    kept: bool,
    cut: bool,
}

impl Cutter {
    /// For the container whose opening bracket stands at `open`.
    pub fn new(open: usize) -> Self {
        Cutter { previous_end: open + 1, kept: false, cut: false }
    }

    /// A member from its key (or an element from its first byte) to the end of its value stays.
    pub fn keep(&mut self, start: usize, end: usize, edits: &mut Edits) {
        if self.cut && !self.kept {
            edits.remove(Span { start: self.previous_end, end: start });
        }
        self.kept = true;
        self.previous_end = end;
    }

    /// A member whose value ends at `end` goes.
    pub fn cut(&mut self, end: usize, edits: &mut Edits) {
        edits.remove(Span { start: self.previous_end, end });
        self.cut = true;
        self.previous_end = end;
    }

    /// Whether anything stays, so that a member added behind needs a comma.
    pub fn any_kept(&self) -> bool {
        self.kept
    }
}
