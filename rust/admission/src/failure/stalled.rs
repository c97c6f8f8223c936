//! A worker that is alive but does not read its notifications: it was stopped, or its loop hangs. What was
//! granted to it goes to others, as it would otherwise take one slot after another.

use crate::api::decision::Refusal;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{MILLISECOND, Nanos};

/// At most this much of the time between two checks counts: after a pause of the whole machine, a worker
/// gets to run first.
const MAX_STEP: Nanos = 50 * MILLISECOND;

impl Ledger<'_> {
    /// Checks all workers; `passed` since the last check.
    pub(crate) fn find_stalled(&mut self, passed: Nanos) {
        for worker in 0..self.workers.len() {
            let mut state = self.workers[worker];
            if state.head == NONE {
                state.unread_for = 0;
            } else if !state.is_stalled() {
                state.unread_for += passed.min(MAX_STEP);
                if state.is_stalled() {
                    self.revoke_grants(worker);
                }
            }
            // Stored last: if this process dies before, the check is repeated.
            self.workers[worker].unread_for = state.unread_for;
        }
    }

    /// Whether the owner of a row is stalled: it is granted nothing until it has read its notifications.
    pub(crate) fn is_stalled(&self, at: u32) -> bool {
        self.workers[usize::from(self.rows[at as usize].owner.worker)].is_stalled()
    }

    /// Turns the grants that a worker has not read into refusals.
    fn revoke_grants(&mut self, worker: usize) {
        let mut at = self.workers[worker].head;
        while at != NONE {
            if self.rows[at as usize].state() == State::Granted {
                self.correct_cost(at, 0);
                self.refund_caps(at);
                self.mark_refused(at, Refusal::Expired);
                self.unpark_tenant(self.rows[at as usize].tenant);
            }
            at = self.rows[at as usize].next;
        }
    }
}
