//! What happens to a request between its offer and its end.

use super::ledger::Ledger;
use super::offer::{Notice, Outcome, Refusal, Refused, Ticket, Usage};
use super::row::State;
use crate::time::{MILLISECOND, Nanos};

/// How often a request may bounce before its client is told.
const MOST_BOUNCES: u8 = 2;
/// How long a backend that bounced a request gets none (50-200 ms,
/// spread so that several gateways do not come back together).
const SHORTEST_PAUSE: Nanos = 50 * MILLISECOND;
const PAUSE_SPREAD: Nanos = 150 * MILLISECOND;

impl Ledger<'_> {
    /// The next piece of a worker's mail. What was granted runs from now on.
    pub(super) fn take(&mut self, worker: u16) -> Option<Notice> {
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

    /// The client has left: out of the queue, or, if a grant was on its way, the permit comes back.
    /// A running request is not cancelled here but released by its owner. Returns whether it was
    /// still waiting.
    pub(super) fn cancel(&mut self, ticket: Ticket, now: Nanos) -> bool {
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

    /// The first token has come: the prompt is no longer being read.
    pub(super) fn first_token(&mut self, ticket: Ticket, now: Nanos) {
        let now = self.at(now);
        let Some(at) = self.holder(ticket) else { return };
        let backend = usize::from(self.rows[at as usize].backend);
        self.backends[backend].heard = now;
        let is_back = self.refute_by_answer(at).is_some();
        if self.rows[at as usize].resources.prefill == 0 {
            if is_back {
                self.dispatch();
            }
            return;
        }
        let prefill = self.give_prefill(at, true);
        let row = &self.rows[at as usize];
        let (taken, predicted) = (now - row.granted, row.predicted);
        let state = &mut self.backends[usize::from(row.backend)];
        if row.whole == 0 {
            state.first_tokens.learn(prefill, taken, &state.reading_rate);
            if predicted > 0 {
                state.adaptive.first_token(taken, predicted);
            }
        }
        // The next prompt may have waited for just this.
        self.dispatch();
    }

    /// The output is longer than expected: reserve more KV tokens. Never refused, it only delays
    /// others.
    pub(super) fn grow(&mut self, ticket: Ticket, tokens: u64) {
        if let Some(at) = self.holder(ticket) {
            self.rows[at as usize].resources.kv += tokens;
            self.each_cap(at, |cap| cap.used.kv += tokens);
        }
    }

    /// The backend has reported what was really used: the reservation and the charge become that.
    pub(super) fn settle(&mut self, ticket: Ticket, usage: Usage) {
        let Some(at) = self.holder(ticket) else { return };
        let kv = u64::from(usage.prompt) + u64::from(usage.output);
        let row = &mut self.rows[at as usize];
        let class = usize::from(row.class);
        let before = std::mem::replace(&mut row.resources.kv, kv);
        self.each_cap(at, |cap| cap.used.kv = cap.used.kv - before + kv);
        self.rows[at as usize].settled = 1;
        self.lengths[class].learn(usage.output);
        let read = u64::from(usage.prompt.saturating_sub(usage.cached));
        self.settle_charge(at, read + 2 * u64::from(usage.output));
        if kv < before {
            self.dispatch();
        }
    }

    /// The client is served or gone, but the backend may still be at work: the permit stays taken
    /// until [`Self::release`].
    pub(super) fn closing(&mut self, ticket: Ticket) {
        if let Some(at) = self.find(ticket)
            && self.rows[at as usize].state() == State::Running
        {
            self.rows[at as usize].set_state(State::Closing);
        }
    }

    /// The permit comes back. A second release of one ticket does nothing and says so.
    pub(super) fn release(&mut self, ticket: Ticket, outcome: Outcome, now: Nanos) -> bool {
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

    /// The backend had no room after all: the request goes back to the head of its queue, with its
    /// deadline, and the backend gets nothing for a moment and less for a while.
    pub(super) fn bounce(&mut self, ticket: Ticket, now: Nanos) -> Result<(), Refusal> {
        let now = self.at(now);
        let Some(at) = self.holder(ticket) else { return Err(Refusal::Overloaded) };
        if self.rows[at as usize].state() != State::Running {
            return Err(Refusal::Overloaded);
        }
        let backend = usize::from(self.rows[at as usize].backend);
        let pause = SHORTEST_PAUSE + self.random() % PAUSE_SPREAD;
        self.backends[backend].bounced(pause, now);
        if self.rows[at as usize].bounces >= MOST_BOUNCES {
            return Err(Refusal::Overloaded);
        }
        self.rows[at as usize].bounces += 1;
        let tenant = self.return_to_queue(at);
        self.has_ended(tenant);
        // Its backend may have been the last of its tier, and drained meanwhile.
        self.after_change();
        Ok(())
    }

    /// Takes a running row's permit and lets it wait again, at its old place. Returns its tenant.
    pub(super) fn return_to_queue(&mut self, at: u32) -> u32 {
        self.settle_charge(at, 0);
        self.give_room(at);
        let row = &mut self.rows[at as usize];
        row.resources.prefill = u64::from(row.prompt);
        row.resources.kv = u64::from(row.prompt) + u64::from(row.expected);
        row.set_state(State::Queued);
        let tenant = row.tenant;
        self.enqueue(at);
        tenant
    }

    /// A row that holds a permit is over.
    pub(super) fn end(&mut self, at: u32) {
        let tenant = self.rows[at as usize].tenant;
        self.give_room(at);
        self.finish(at);
        self.has_ended(tenant);
    }

    /// A row is over whose permit never reached its owner: nothing was used, nothing is charged.
    pub(super) fn end_unused(&mut self, at: u32) {
        self.settle_charge(at, 0);
        self.end(at);
    }

    /// A tenant uses less: what waited for its own limit may go on.
    pub(super) fn has_ended(&mut self, tenant: u32) {
        self.unpark(tenant);
    }

    pub(super) fn finish(&mut self, at: u32) {
        self.board.finished += 1;
        self.free(at);
    }
}
