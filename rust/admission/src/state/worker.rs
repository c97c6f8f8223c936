//! What admission knows of one worker.

use super::heap::NONE;
use crate::shm::plain;
use crate::time::{Nanos, SECOND};

/// Who leaves a letter lying for so long is absent.
const LONGEST_STILL: Nanos = SECOND;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerState {
    /// Its mailbox: a list of rows, first to last.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// How long its oldest letter has been seen to lie.
    pub(crate) still: Nanos,
    pub(crate) generation: u16,
    _padding: [u16; 3],
}

plain!(WorkerState);

impl WorkerState {
    pub(crate) const EMPTY: WorkerState =
        WorkerState { first: NONE, last: NONE, still: 0, generation: 0, _padding: [0; 3] };

    pub(crate) fn empty(&mut self) {
        (self.first, self.last) = (NONE, NONE);
    }
}

impl WorkerState {
    pub(crate) fn is_absent(self) -> bool {
        self.still >= LONGEST_STILL
    }
}
