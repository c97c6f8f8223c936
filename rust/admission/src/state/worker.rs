//! What admission knows of one worker.

use super::heap::NONE;
use crate::shm::plain;
use crate::time::{Nanos, SECOND};

/// A worker whose oldest notification is older than this is stalled.
const MAX_UNREAD: Nanos = SECOND;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerState {
    /// Its notifications: a list of rows.
    pub(crate) head: u32,
    pub(crate) tail: u32,
    /// How long its oldest notification has not been read.
    pub(crate) unread_for: Nanos,
    pub(crate) generation: u16,
    _padding: [u16; 3],
}

plain!(WorkerState);

impl WorkerState {
    pub(crate) const EMPTY: WorkerState =
        WorkerState { head: NONE, tail: NONE, unread_for: 0, generation: 0, _padding: [0; 3] };

    pub(crate) fn clear(&mut self) {
        (self.head, self.tail) = (NONE, NONE);
    }
}

impl WorkerState {
    pub(crate) fn is_stalled(self) -> bool {
        self.unread_for >= MAX_UNREAD
    }
}
