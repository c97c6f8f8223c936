//! The mailboxes: for each worker a list of its rows that something has happened to while they waited.

use std::sync::atomic::Ordering;

use super::heap::NONE;
use super::ledger::Ledger;
use super::offer::Owner;
use crate::shm::plain;
use crate::time::Nanos;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkerState {
    /// Its mailbox: a list of rows, first to last.
    pub(super) first: u32,
    pub(super) last: u32,
    /// How long its oldest letter has been seen to lie.
    pub(super) still: Nanos,
    pub(super) generation: u16,
    _padding: [u16; 3],
}

plain!(WorkerState);

impl WorkerState {
    pub(super) const EMPTY: WorkerState =
        WorkerState { first: NONE, last: NONE, still: 0, generation: 0, _padding: [0; 3] };

    pub(super) fn empty(&mut self) {
        (self.first, self.last) = (NONE, NONE);
    }
}

impl Ledger<'_> {
    /// Puts a row into its owner's mailbox.
    pub(super) fn post(&mut self, at: u32) {
        let Owner { worker, .. } = self.rows[at as usize].owner;
        self.rows[at as usize].next = NONE;
        let state = &mut self.workers[usize::from(worker)];
        match state.last {
            NONE => state.first = at,
            last => self.rows[last as usize].next = at,
        }
        state.last = at;
        self.mail[usize::from(worker)].store(1, Ordering::Release);
        self.board.wake |= 1 << worker;
    }

    /// Takes the oldest row out of a mailbox.
    pub(super) fn collect(&mut self, worker: u16) -> Option<u32> {
        let state = &mut self.workers[usize::from(worker)];
        if state.first == NONE {
            self.mail[usize::from(worker)].store(0, Ordering::Relaxed);
            return None;
        }
        let at = state.first;
        (state.first, state.still) = (self.rows[at as usize].next, 0);
        if state.first == NONE {
            state.last = NONE;
        }
        Some(at)
    }

    /// Takes a row out of the mailbox of its owner, who must not find it later.
    pub(super) fn unpost(&mut self, at: u32) {
        let worker = usize::from(self.rows[at as usize].owner.worker);
        let next = self.rows[at as usize].next;
        let state = &mut self.workers[worker];
        let mut before = NONE;
        if state.first == at {
            state.first = next;
        } else {
            before = state.first;
            while self.rows[before as usize].next != at {
                before = self.rows[before as usize].next;
            }
            self.rows[before as usize].next = next;
        }
        let state = &mut self.workers[worker];
        if state.last == at {
            state.last = before;
        }
        state.still = 0;
    }
}
