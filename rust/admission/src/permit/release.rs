//! How a request ends.

use crate::api::ids::Ticket;
use crate::api::report::PermitOutcome;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::Nanos;

impl Ledger<'_> {
    /// The client has left: a waiting request leaves the queue, and a grant that its owner has not read is
    /// taken back. A running request must be released by its owner. Returns whether the request was
    /// waiting.
    pub(crate) fn cancel(&mut self, ticket: Ticket, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.find(ticket) else { return false };
        match self.rows[at as usize].state() {
            State::Queued => {
                self.dequeue(at);
                self.finish(at);
            }
            State::Granted => {
                self.withdraw_notification(at);
                self.end_unused_permit(at);
            }
            State::Refused => {
                self.withdraw_notification(at);
                self.free_row(at);
                return true;
            }
            State::Free | State::Running | State::Closing => return false,
        }
        self.dispatch();
        true
    }

    /// Gives a permit back. Returns false, and does nothing, if it was given back before.
    pub(crate) fn release(&mut self, ticket: Ticket, outcome: PermitOutcome, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.holder(ticket) else { return false };
        if self.rows[at as usize].state() == State::Granted {
            self.withdraw_notification(at);
            self.end_unused_permit(at);
            self.dispatch();
            return true;
        }
        if outcome == PermitOutcome::Success {
            self.refute_by_answer(at);
        }
        if outcome != PermitOutcome::Dropped {
            let row = &self.rows[at as usize];
            self.tiers[usize::from(row.tier)].speed.count(f64::from(row.resources.slots));
        }
        self.correct_unsettled_cost(at, outcome);
        self.note_unfinished_prefill(at);
        self.end_permit(at);
        self.dispatch();
        true
    }

    /// The cost of a request whose backend reported no usage: 0 if the backend failed, the prompt alone if
    /// the client left before the first token.
    fn correct_unsettled_cost(&mut self, at: u32, outcome: PermitOutcome) {
        let row = &self.rows[at as usize];
        match outcome {
            _ if row.settled != 0 => {}
            PermitOutcome::Dropped => self.correct_cost(at, 0),
            PermitOutcome::Ignored if row.resources.prefill > 0 => {
                self.correct_cost(at, row.resources.prefill);
            }
            PermitOutcome::Ignored | PermitOutcome::Success => {}
        }
    }

    /// Ends a row that holds a permit.
    pub(crate) fn end_permit(&mut self, at: u32) {
        let tenant = self.rows[at as usize].tenant;
        self.refund_caps(at);
        self.finish(at);
        self.unpark_tenant(tenant);
    }

    /// Ends a row whose owner never read its grant: it costs nothing.
    pub(crate) fn end_unused_permit(&mut self, at: u32) {
        self.correct_cost(at, 0);
        self.end_permit(at);
    }

    pub(crate) fn finish(&mut self, at: u32) {
        self.globals.finished += 1;
        self.free_row(at);
    }
}
