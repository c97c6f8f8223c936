//! Removes members from an object, or elements from an array, with the right commas.

use super::edits::Edits;
use super::value::Span;

/// Removes members of one object, or elements of one array. Call [`Self::keep`] or [`Self::remove`] for each in order.
///
/// A removed member takes the comma before it along. So the first kept member behind removed ones loses its own.
#[derive(Debug, Clone, Copy)]
pub struct MemberFilter {
    previous_end: usize,
    any_kept: bool,
    any_removed: bool,
}

impl MemberFilter {
    /// `open`: the position of the container's opening bracket.
    pub fn new(open: usize) -> Self {
        MemberFilter { previous_end: open + 1, any_kept: false, any_removed: false }
    }

    /// Keeps a member. `start`: its key, or an element's first byte; `end`: the end of its value.
    pub fn keep(&mut self, start: usize, end: usize, edits: &mut Edits) {
        if self.any_removed && !self.any_kept {
            edits.remove(Span { start: self.previous_end, end: start });
        }
        self.any_kept = true;
        self.previous_end = end;
    }

    /// Removes a member whose value ends at `end`.
    pub fn remove(&mut self, end: usize, edits: &mut Edits) {
        edits.remove(Span { start: self.previous_end, end });
        self.any_removed = true;
        self.previous_end = end;
    }

    /// Whether a member was kept, so that one appended behind needs a comma.
    pub fn any_kept(&self) -> bool {
        self.any_kept
    }
}
