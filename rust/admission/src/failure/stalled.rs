//! A worker that lives and does not take its mail: it was stopped, or its loop hangs. What was granted
//! to it goes to others, or it would soak up one slot after the other.

use crate::api::decision::Refusal;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{MILLISECOND, Nanos};

/// Of the time between two looks so much counts at most: when the whole machine stood still, a worker
/// gets to run first.
const MAX_STEP: Nanos = 50 * MILLISECOND;

impl Ledger<'_> {
    /// Looks at all mail; `passed` since the last look.
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
            // Last, so that who dies here leaves it to be done again.
            self.workers[worker].unread_for = state.unread_for;
        }
    }

    /// Whether the owner of a row is absent: it is granted nothing until it has taken its mail.
    pub(crate) fn is_stalled(&self, at: u32) -> bool {
        self.workers[usize::from(self.rows[at as usize].owner.worker)].is_stalled()
    }

    /// Makes refusals of the grants in a mailbox.
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
