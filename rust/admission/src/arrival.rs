//! A request arrives: granted at once, queued, or turned away while it costs nothing yet.

use super::choice::Patience;
use super::ledger::Ledger;
use super::lengths;
use super::offer::{Decision, Offer, Refusal, Refused};
use super::row::{NO_BACKEND, Resources, State};
use crate::time::{Nanos, SECOND};

/// A request is turned away on arrival if it would wait longer than this part of what it may.
const MEETABLE_PERCENT: Nanos = 90;
/// The least that a client is told to wait, and what it is told while nothing is known.
const LEAST_RETRY: Nanos = SECOND;
/// Retry times are spread by this part to both sides, so that clients do not come back together.
const JITTER_PERCENT: u64 = 20;

impl Ledger<'_> {
    pub(super) fn offer(&mut self, offer: &Offer, now: Nanos) -> Decision {
        let now = self.at(now);
        self.board.arrived += 1;
        // Who asks is awake, and takes its mail after.
        self.workers[usize::from(offer.owner.worker)].still = 0;
        let Some(at) = self.board.free.peek(self.rows) else {
            return self.refuse(offer, Refusal::QueueFull);
        };
        self.fill(at, offer, now);
        if let Some(why) = self.why_not(&self.rows[at as usize], Patience::None) {
            return self.refuse(offer, why);
        }
        let tier = usize::from(offer.tier);
        if self.tiers[tier].requests == 0
            && self.tenants[self.rows[at as usize].tenant as usize].has_room(offer.slots)
            && let Some((backend, prefill)) = self.place(at)
        {
            self.enter(at);
            self.grant(at, backend, prefill, State::Running);
            self.tiers[tier].shedding_since = 0;
            return Decision::Granted(self.rows[at as usize].grant(at));
        }
        if let Err(why) = self.may_wait(at) {
            return self.refuse(offer, why);
        }
        self.enter(at);
        self.rows[at as usize].begin(State::Queued);
        self.enqueue(at);
        let ticket = self.rows[at as usize].ticket(at);
        // It may fit although others before it do not.
        self.dispatch();
        Decision::Queued(ticket)
    }

    /// Writes a request into a row that is still free: until its state is set, nobody sees it.
    fn fill(&mut self, at: u32, offer: &Offer, now: Nanos) {
        let tenant = self.tenant(&offer.tenant);
        let flow = self.flow(tenant, offer.tier);
        let class = lengths::class(offer.tier, offer.max_tokens, offer.tools);
        let expected = self.lengths[usize::from(class)].expect(offer.max_tokens);
        let patience = self.tiers[usize::from(offer.tier)].patience(self.prefill_time(offer));
        self.board.sequence += 1;
        let prompt = offer.prompt.max(1);
        let kv = u64::from(prompt) + u64::from(expected);
        let row = &mut self.rows[at as usize];
        row.owner = offer.owner;
        row.tier = offer.tier;
        row.backend = NO_BACKEND;
        row.band = offer.band as u8;
        row.bounces = 0;
        row.bypassed = 0;
        row.class = class;
        row.whole = u8::from(!offer.streams);
        row.holds = NO_BACKEND;
        row.tenant = tenant;
        row.flow = flow;
        row.prompt = prompt;
        row.expected = expected;
        row.resources = Resources::new(offer.slots, u64::from(prompt), kv);
        row.bytes = offer.bytes;
        row.charged = 0;
        row.settled = 0;
        row.candidates = offer.candidates;
        row.arrived = now;
        row.deadline = now.saturating_add(patience);
        row.ages = now.saturating_add(patience / 2);
        row.blocked = 0;
        row.trial = 0;
        row.until = 0;
        row.granted = 0;
        row.predicted = 0;
        row.read_before = 0;
        row.read_at = 0;
        row.sequence = self.board.sequence;
    }

    /// The row is used from now on.
    fn enter(&mut self, at: u32) {
        self.board.free.take(self.rows);
        let row = &self.rows[at as usize];
        self.tenants[row.tenant as usize].requests += 1;
        self.flows[row.flow as usize].requests += 1;
    }

    /// From dispatch to first token, at the quickest of the candidates.
    fn prefill_time(&self, offer: &Offer) -> Nanos {
        let times = offer.candidates.iter().map(|candidate| {
            let uncached = offer.prompt.saturating_sub(candidate.hit).max(1);
            self.backends[usize::from(candidate.backend)].prefill_time(u64::from(uncached))
        });
        times.min().unwrap_or(0)
    }

    /// Whether the queue has room for a row, and whether its turn would come in time.
    fn may_wait(&mut self, at: u32) -> Result<(), Refusal> {
        let row = &self.rows[at as usize];
        let tier = &self.tiers[usize::from(row.tier)];
        let flow = &self.flows[row.flow as usize];
        let is_full = tier.requests >= tier.queue_requests
            || tier.tokens.saturating_add(u64::from(row.prompt)) > tier.queue_tokens
            || tier.bytes.saturating_add(row.bytes) > tier.queue_bytes
            || row.tenant != 0 && flow.waiting >= tier.tenant_requests;
        if is_full {
            return Err(Refusal::QueueFull);
        }
        let patience = row.deadline - row.arrived;
        let in_time = match self.predicted_wait(at) {
            Some(wait) => wait.saturating_mul(100) <= patience * MEETABLE_PERCENT,
            None => !tier.is_late(patience, self.board.now),
        };
        if in_time && patience > 0 { Ok(()) } else { Err(Refusal::Unmeetable) }
    }

    /// How long a row would wait; `None`: nothing is known.
    fn predicted_wait(&self, at: u32) -> Option<Nanos> {
        let row = &self.rows[at as usize];
        let index = usize::from(row.tier);
        let (slots_ahead, prefill_ahead) = self.ahead_of(at);
        let by_prefill = self.prefill_wait(at, prefill_ahead);
        if self.has_free_slot(index, row.band) && self.has_free_memory(row) {
            return Some(seconds(by_prefill));
        }
        let speed = self.tiers[index].speed.get()?;
        let by_slots = (slots_ahead + f64::from(row.resources.slots)) / speed;
        Some(seconds(by_slots.max(by_prefill)))
    }

    /// Slots and prompt tokens that would be served before a row: all of the more urgent bands, and
    /// of its own band its tenant's part and the parts of the others beside it.
    fn ahead_of(&self, at: u32) -> (f64, f64) {
        let row = &self.rows[at as usize];
        let bands = &self.tiers[usize::from(row.tier)].bands;
        let band = usize::from(row.band);
        let above = &bands[..band];
        let mut slots: u32 = above.iter().map(|band| band.slots).sum();
        let mut prefill: u64 = above.iter().map(|band| band.prefill).sum();
        let own = &bands[band];
        let flow = &self.flows[row.flow as usize];
        let weight = u64::from(self.tenants[row.tenant as usize].weight);
        let others = own.flows.saturating_sub(if flow.is_linked(band) { weight } else { 0 });
        let part = (others + weight) as f64 / weight as f64;
        let fair = (f64::from(flow.waiting_slots + 1) * part).min(f64::from(own.slots));
        let share = if own.slots == 0 { 0.0 } else { fair / f64::from(own.slots) };
        slots += fair as u32;
        prefill += (own.prefill as f64 * share) as u64;
        (f64::from(slots), prefill as f64)
    }

    /// Seconds until the prompts before a row have been read far enough to let it in.
    fn prefill_wait(&self, at: u32, ahead: f64) -> f64 {
        let row = &self.rows[at as usize];
        let (mut limit, mut used, mut rate) = (0.0, 0.0, 0.0);
        for index in self.tiers[usize::from(row.tier)].backends.iter() {
            let backend = &self.backends[index];
            if !backend.is_usable() {
                continue;
            }
            // A backend without a limit, or of unknown speed, is no reason to turn anyone away.
            let (Some(tokens), Some(speed)) = (backend.prefill_limit(), backend.reading_rate.get())
            else {
                return 0.0;
            };
            limit += tokens as f64;
            used += backend.cap.used.prefill as f64;
            rate += speed;
        }
        // What is larger than the limit runs alone.
        let prompt = f64::from(row.prompt);
        let excess = ahead + used + prompt - prompt.max(limit);
        if rate == 0.0 { 0.0 } else { excess.max(0.0) / rate }
    }

    /// Turns an offer away that never got a row.
    fn refuse(&mut self, offer: &Offer, why: Refusal) -> Decision {
        self.board.finished += 1;
        let tier = usize::from(offer.tier);
        let retry_after = self.retry_after(tier, why);
        let now = self.board.now;
        let state = &mut self.tiers[tier];
        if is_load(why) && state.shedding_since == 0 {
            state.shedding_since = now.max(1);
        }
        let saturated_for = self.saturated_for(tier, why);
        Decision::Refused(Refused { why, retry_after, saturated_for })
    }

    /// How long a tier has been turning requests away for reasons of load, as of one more.
    pub(super) fn saturated_for(&self, tier: usize, why: Refusal) -> Nanos {
        match self.tiers[tier].shedding_since {
            since if since != 0 && is_load(why) => self.board.now.saturating_sub(since),
            _ => 0,
        }
    }

    /// When it is worth to ask again: once what waits now has been served, give or take. It waits no longer
    /// than it may.
    pub(super) fn retry_after(&mut self, tier: usize, why: Refusal) -> Nanos {
        let longest = self.tiers[tier].wait.max(LEAST_RETRY);
        let wait = match why {
            Refusal::NoBackend | Refusal::TooWide { .. } | Refusal::TooLong { .. } => LEAST_RETRY,
            _ => {
                let state = &self.tiers[tier];
                let waiting: u32 = state.bands.iter().map(|band| band.slots).sum();
                let drained =
                    state.speed.guess().map_or(0.0, |speed| f64::from(waiting + 1) / speed);
                seconds(drained).clamp(LEAST_RETRY, longest)
            }
        };
        let spread = 100 - JITTER_PERCENT + self.random() % (2 * JITTER_PERCENT + 1);
        let spread = wait / 100 * spread;
        // What would be too long is as much too short, so that they do not all come back at once.
        if spread > longest { 2 * longest - spread } else { spread }
    }
}

fn is_load(why: Refusal) -> bool {
    matches!(why, Refusal::QueueFull | Refusal::Unmeetable | Refusal::Expired)
}

fn seconds(seconds: f64) -> Nanos {
    // An hour is as good as never.
    (seconds.min(3600.0) * SECOND as f64) as Nanos
}
