//! A request arrives: it is granted at once, queued, or refused.

use super::capacity::Phase;

use crate::api::decision::{Decision, Refusal};
use crate::api::offer::Offer;
use crate::learned::lengths;
use crate::limits::caps::Resources;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, State};
use crate::state::tenant::UNKNOWN;
use crate::time::Nanos;

/// A request is refused on arrival if its predicted wait is longer than this part of its longest wait.
const MEETABLE_PERCENT: Nanos = 90;

impl Ledger<'_> {
    pub(crate) fn offer(&mut self, offer: &Offer, now: Nanos) -> Decision {
        let now = self.at(now);
        self.globals.arrived += 1;
        // A worker that offers is not stalled: it reads its notifications next.
        self.workers[usize::from(offer.owner.worker)].unread_for = 0;
        let Some(at) = self.globals.free.peek(&self.rows) else {
            return self.refuse(offer, Refusal::QueueFull);
        };
        self.write_row(at, offer, now);
        let tier = usize::from(offer.tier);
        if self.tiers[tier].requests == 0
            && self.tenant_has_room(at)
            && let Some((backend, prefill)) = self.choose_backend(at)
        {
            self.take_row(at);
            self.grant(at, backend, prefill, State::Running);
            self.tiers[tier].shedding_since = 0;
            return Decision::Granted(self.rows[at as usize].grant(at));
        }
        if let Some(why) = self.why_unservable(&self.rows[at as usize], Phase::Arriving) {
            return self.refuse(offer, why);
        }
        if let Err(why) = self.check_queue(at) {
            return self.refuse(offer, why);
        }
        self.take_row(at);
        self.rows[at as usize].begin(State::Queued);
        self.enqueue(at);
        let ticket = self.rows[at as usize].ticket(at);
        // It may fit although requests before it do not.
        self.dispatch();
        Decision::Queued(ticket)
    }

    /// Writes a request into a free row. Nobody reads the row until its state is set.
    fn write_row(&mut self, at: u32, offer: &Offer, now: Nanos) {
        let tenant = self.tenant(&offer.tenant);
        let flow = self.flow(tenant, offer.tier);
        let class = lengths::class(offer.tier, offer.max_tokens, offer.tools);
        let expected = self.lengths[usize::from(class)].expect(offer.max_tokens);
        let max_wait = self.tiers[usize::from(offer.tier)].max_wait(self.prefill_time(offer));
        self.globals.sequence += 1;
        let prompt = offer.prompt.max(1);
        let kv = u64::from(prompt) + u64::from(expected);
        let row = &mut self.rows[at as usize];
        row.owner = offer.owner;
        row.tier = offer.tier;
        row.backend = NO_BACKEND;
        row.priority = offer.priority as u8;
        row.pushbacks = 0;
        row.bypassed = 0;
        row.class = class;
        row.streams = u8::from(offer.streams);
        row.reserved_backend = NO_BACKEND;
        row.tenant = tenant;
        row.flow = flow;
        row.prompt = prompt;
        row.expected = expected;
        row.resources = Resources::new(offer.slots, u64::from(prompt), kv);
        row.bytes = offer.bytes;
        row.cost = 0;
        row.settled = 0;
        row.candidates = offer.candidates;
        row.arrived = now;
        row.deadline = now.saturating_add(max_wait);
        row.ages = now.saturating_add(max_wait / 2);
        row.blocked = 0;
        row.trial = 0;
        row.until = 0;
        row.granted = 0;
        row.predicted = 0;
        row.prefilled_before = 0;
        row.prefill_end = 0;
        row.sequence = self.globals.sequence;
    }

    /// The row is in use from now on.
    fn take_row(&mut self, at: u32) {
        self.globals.free.pop(&self.rows);
        let row = &self.rows[at as usize];
        self.tenants[row.tenant as usize].requests += 1;
        self.flows[row.flow as usize].requests += 1;
    }

    /// Time from dispatch to first token, on the fastest candidate.
    fn prefill_time(&self, offer: &Offer) -> Nanos {
        let times = offer.candidates.iter().map(|candidate| {
            let uncached = offer.prompt.saturating_sub(candidate.hit).max(1);
            self.backends[usize::from(candidate.backend)].prefill_time(u64::from(uncached))
        });
        times.min().unwrap_or(0)
    }

    /// Whether the queue has room for a row, and whether it would be dispatched in time.
    fn check_queue(&mut self, at: u32) -> Result<(), Refusal> {
        let row = &self.rows[at as usize];
        let tier = &self.tiers[usize::from(row.tier)];
        let flow = &self.flows[row.flow as usize];
        let is_full = tier.requests >= tier.queue_requests
            || tier.tokens.saturating_add(u64::from(row.prompt)) > tier.queue_tokens
            || tier.bytes.saturating_add(row.bytes) > tier.queue_bytes
            || row.tenant != UNKNOWN && flow.waiting >= tier.tenant_requests;
        if is_full {
            return Err(Refusal::QueueFull);
        }
        let max_wait = row.deadline - row.arrived;
        let in_time = match self.predicted_wait(at) {
            Some(wait) => wait.saturating_mul(100) <= max_wait * MEETABLE_PERCENT,
            None => !tier.is_late(max_wait, self.globals.now),
        };
        if in_time && max_wait > 0 { Ok(()) } else { Err(Refusal::Unmeetable) }
    }
}
