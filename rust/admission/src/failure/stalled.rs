//! A worker that lives and does not take its mail: it was stopped, or its loop hangs. What was granted
//! to it goes to others, or it would soak up one slot after the other.

use crate::api::decision::Refusal;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{MILLISECOND, Nanos};

/// Of the time between two looks so much counts at most: when the whole machine stood still, a worker
/// gets to run first.
const MOST_AT_ONCE: Nanos = 50 * MILLISECOND;

impl Ledger<'_> {
    /// Looks at all mail; `passed` since the last look.
    pub(crate) fn find_absent(&mut self, passed: Nanos) {
        for worker in 0..self.workers.len() {
            let mut state = self.workers[worker];
            if state.first == NONE {
                state.still = 0;
            } else if !state.is_absent() {
                state.still += passed.min(MOST_AT_ONCE);
                if state.is_absent() {
                    self.take_back(worker);
                }
            }
            // Last, so that who dies here leaves it to be done again.
            self.workers[worker].still = state.still;
        }
    }

    /// Whether the owner of a row is absent: it is granted nothing until it has taken its mail.
    pub(crate) fn is_absent(&self, at: u32) -> bool {
        self.workers[usize::from(self.rows[at as usize].owner.worker)].is_absent()
    }

    /// Makes refusals of the grants in a mailbox.
    fn take_back(&mut self, worker: usize) {
        let mut at = self.workers[worker].first;
        while at != NONE {
            if self.rows[at as usize].state() == State::Granted {
                self.settle_charge(at, 0);
                self.give_room(at);
                self.mark_refused(at, Refusal::Expired);
                self.unpark(self.rows[at as usize].tenant);
            }
            at = self.rows[at as usize].next;
        }
    }
}
