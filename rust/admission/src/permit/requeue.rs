//! A running request goes back to its queue.

use crate::api::decision::Refusal;
use crate::api::ids::Ticket;
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{MILLISECOND, Nanos};

/// A request that is pushed back more often than this is refused.
const MAX_PUSHBACKS: u8 = 2;

/// A backend gets nothing for 50-200 ms after pushback, at random, so that several gateways do not return
/// together.
const MIN_PAUSE: Nanos = 50 * MILLISECOND;

const PAUSE_SPREAD: Nanos = 150 * MILLISECOND;

impl Ledger<'_> {
    /// The backend had no capacity: the request returns to the head of its queue with its deadline, and the
    /// backend is closed for a moment and has one slot less for a while.
    pub(crate) fn pushback(&mut self, ticket: Ticket, now: Nanos) -> Result<(), Refusal> {
        let now = self.at(now);
        let Some(at) = self.holder(ticket) else { return Err(Refusal::Overloaded) };
        if self.rows[at as usize].state() != State::Running {
            return Err(Refusal::Overloaded);
        }
        let backend = usize::from(self.rows[at as usize].backend);
        let pause = MIN_PAUSE + self.random() % PAUSE_SPREAD;
        let limit = self.caps.get(CapKind::Backend, backend).bound();
        self.backends[backend].note_pushback(limit, pause, now);
        if self.rows[at as usize].pushbacks >= MAX_PUSHBACKS {
            return Err(Refusal::Overloaded);
        }
        self.rows[at as usize].pushbacks += 1;
        let tenant = self.return_to_queue(at);
        self.unpark_tenant(tenant);
        // The backend may have been drained meanwhile, and have been the last of its tier.
        self.after_change();
        Ok(())
    }

    /// Takes the permit of a running row back and queues it again, with its old order. Returns its tenant.
    pub(crate) fn return_to_queue(&mut self, at: u32) -> u32 {
        self.correct_cost(at, 0);
        self.refund_caps(at);
        let row = &mut self.rows[at as usize];
        row.resources.prefill = u64::from(row.prompt);
        row.resources.kv = u64::from(row.prompt) + u64::from(row.expected);
        row.set_state(State::Queued);
        let tenant = row.tenant;
        self.enqueue(at);
        tenant
    }

    /// The backend has not begun the request: it is granted another backend, or queued again with its
    /// deadline and order.
    pub(crate) fn requeue(&mut self, ticket: Ticket, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.holder(ticket) else { return false };
        if self.rows[at as usize].state() != State::Running {
            return false;
        }
        let tenant = self.return_to_queue(at);
        // It was granted before, so neither its place in the queue nor its deadline keep it from another
        // backend.
        self.grant_if_fits(at);
        self.unpark_tenant(tenant);
        self.after_change();
        true
    }
}
