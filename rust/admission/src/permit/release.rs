//! How a request ends.

use crate::api::ids::Ticket;
use crate::api::report::Outcome;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::Nanos;

impl Ledger<'_> {
    /// The client has left: out of the queue, or, if a grant was on its way, the permit comes back.
    /// A running request is not cancelled here but released by its owner. Returns whether it was
    /// still waiting.
    pub(crate) fn cancel(&mut self, ticket: Ticket, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.find(ticket) else { return false };
        match self.rows[at as usize].state() {
            State::Queued => {
                self.dequeue(at);
                self.finish(at);
            }
            State::Granted => {
                self.unpost(at);
                self.end_unused(at);
            }
            State::Refused => {
                self.unpost(at);
                self.free(at);
                return true;
            }
            State::Free | State::Running | State::Closing => return false,
        }
        self.dispatch();
        true
    }

    /// The permit comes back. A second release of one ticket does nothing and says so.
    pub(crate) fn release(&mut self, ticket: Ticket, outcome: Outcome, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.holder(ticket) else { return false };
        if self.rows[at as usize].state() == State::Granted {
            self.unpost(at);
            self.end_unused(at);
            self.dispatch();
            return true;
        }
        if outcome == Outcome::Success {
            self.refute_by_answer(at);
        }
        if outcome != Outcome::Dropped {
            let row = &self.rows[at as usize];
            self.tiers[usize::from(row.tier)].speed.count(f64::from(row.resources.slots));
        }
        self.charge_unsettled(at, outcome);
        self.note_unread(at);
        self.end(at);
        self.dispatch();
        true
    }

    /// Without a word of the backend on what was used: nobody pays for its failure, and who left
    /// before the first token pays for the prompt alone.
    fn charge_unsettled(&mut self, at: u32, outcome: Outcome) {
        let row = &self.rows[at as usize];
        match outcome {
            _ if row.settled != 0 => {}
            Outcome::Dropped => self.settle_charge(at, 0),
            Outcome::Ignored if row.resources.prefill > 0 => {
                self.settle_charge(at, row.resources.prefill);
            }
            Outcome::Ignored | Outcome::Success => {}
        }
    }

    /// A row that holds a permit is over.
    pub(crate) fn end(&mut self, at: u32) {
        let tenant = self.rows[at as usize].tenant;
        self.give_room(at);
        self.finish(at);
        self.has_ended(tenant);
    }

    /// A row is over whose permit never reached its owner: nothing was used, nothing is charged.
    pub(crate) fn end_unused(&mut self, at: u32) {
        self.settle_charge(at, 0);
        self.end(at);
    }

    /// A tenant uses less: what waited for its own limit may go on.
    pub(crate) fn has_ended(&mut self, tenant: u32) {
        self.unpark(tenant);
    }

    pub(crate) fn finish(&mut self, at: u32) {
        self.board.finished += 1;
        self.free(at);
    }
}
