//! The mailboxes: for each worker a list of its rows that something has happened to while they waited.

use std::sync::atomic::Ordering;

use crate::api::decision::{Notice, Refused};
use crate::api::ids::Owner;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;

impl Ledger<'_> {
    /// Puts a row into its owner's mailbox.
    pub(crate) fn post(&mut self, at: u32) {
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
    pub(crate) fn collect(&mut self, worker: u16) -> Option<u32> {
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
    pub(crate) fn unpost(&mut self, at: u32) {
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

    /// The next piece of a worker's mail. What was granted runs from now on.
    pub(crate) fn take(&mut self, worker: u16) -> Option<Notice> {
        let at = self.collect(worker)?;
        let row = &self.rows[at as usize];
        let ticket = row.ticket(at);
        if row.state() == State::Granted {
            row.set_state(State::Running);
            return Some(Notice::Granted(row.grant(at)));
        }
        let (why, retry_after, tier) = (row.refusal(), row.until, usize::from(row.tier));
        self.free(at);
        let saturated_for = self.saturated_for(tier, why);
        Some(Notice::Refused(ticket, Refused { why, retry_after, saturated_for }))
    }
}
