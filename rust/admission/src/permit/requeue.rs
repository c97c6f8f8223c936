//! A running request goes back to its queue.

use crate::api::decision::Refusal;
use crate::api::ids::Ticket;
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{MILLISECOND, Nanos};

/// How often a request may bounce before its client is told.
const MAX_PUSHBACKS: u8 = 2;

/// How long a backend that bounced a request gets none (50-200 ms,
/// spread so that several gateways do not come back together).
const MIN_PAUSE: Nanos = 50 * MILLISECOND;

const PAUSE_SPREAD: Nanos = 150 * MILLISECOND;

impl Ledger<'_> {
    /// The backend had no room after all: the request goes back to the head of its queue, with its
    /// deadline, and the backend gets nothing for a moment and less for a while.
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
        // Its backend may have been the last of its tier, and drained meanwhile.
        self.after_change();
        Ok(())
    }

    /// Takes a running row's permit and lets it wait again, at its old place. Returns its tenant.
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

    /// A request that has not begun goes to another backend that has room, or back to its queue, with
    /// its deadline and its place.
    pub(crate) fn requeue(&mut self, ticket: Ticket, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.holder(ticket) else { return false };
        if self.rows[at as usize].state() != State::Running {
            return false;
        }
        let tenant = self.return_to_queue(at);
        // It had its turn, so neither those before it nor its deadline keep it from another backend.
        self.grant_if_fits(at);
        self.unpark_tenant(tenant);
        self.after_change();
        true
    }
}
