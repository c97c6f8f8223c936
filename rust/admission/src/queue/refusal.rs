//! Refused requests, and when they should be tried again.

use super::capacity::Phase;
use super::wait::seconds;
use crate::api::decision::{Decision, Refusal, Refused};
use crate::api::offer::Offer;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{Nanos, SECOND};

/// The shortest retry time, and the one that is told while nothing is known.
const LEAST_RETRY: Nanos = SECOND;

/// Retry times vary by this part in both directions, so that clients do not return together.
const JITTER_PERCENT: u64 = 20;

impl Ledger<'_> {
    /// Refuses an offer, which has no row.
    pub(crate) fn refuse(&mut self, offer: &Offer, why: Refusal) -> Decision {
        self.globals.finished += 1;
        let tier = usize::from(offer.tier);
        let retry_after = self.retry_after(tier, why);
        let now = self.globals.now;
        let state = &mut self.tiers[tier];
        if is_load(why) && state.shedding_since == 0 {
            state.shedding_since = now.max(1);
        }
        let saturated_for = self.saturated_for(tier, why);
        Decision::Refused(Refused { why, retry_after, saturated_for })
    }

    /// For how long a tier has been refusing requests because of load, if this refusal is for load.
    pub(crate) fn saturated_for(&self, tier: usize, why: Refusal) -> Nanos {
        match self.tiers[tier].shedding_since {
            since if since != 0 && is_load(why) => self.globals.now.saturating_sub(since),
            _ => 0,
        }
    }

    /// When to try again: when what waits now will have been served, but not later than the longest wait of
    /// the tier.
    pub(crate) fn retry_after(&mut self, tier: usize, why: Refusal) -> Nanos {
        let longest = self.tiers[tier].wait.max(LEAST_RETRY);
        let wait = match why {
            Refusal::NoBackend | Refusal::TooWide { .. } | Refusal::TooLong { .. } => LEAST_RETRY,
            _ => {
                let state = &self.tiers[tier];
                let waiting: u32 = state.priorities.iter().map(|priority| priority.slots).sum();
                let drained =
                    state.speed.guess().map_or(0.0, |speed| f64::from(waiting + 1) / speed);
                seconds(drained).clamp(LEAST_RETRY, longest)
            }
        };
        let spread = 100 - JITTER_PERCENT + self.random() % (2 * JITTER_PERCENT + 1);
        let spread = wait / 100 * spread;
        // Reflected at the longest wait, not cut off there: cut off, they would all return at once.
        if spread > longest { 2 * longest - spread } else { spread }
    }

    /// Refuses a waiting row that can no longer be served. Returns whether it did.
    pub(crate) fn drop_if_unservable(&mut self, at: u32) -> bool {
        let row = &self.rows[at as usize];
        let is_late = row.deadline <= self.globals.now;
        let expired = is_late.then(|| self.deadline_refusal(at));
        let stalled = || self.is_stalled(at).then_some(Refusal::Expired);
        let why = expired.or_else(stalled).or_else(|| self.why_unservable(row, Phase::Waiting));
        let Some(why) = why else { return false };
        self.refuse_queued(at, why);
        true
    }

    pub(crate) fn refuse_queued(&mut self, at: u32, why: Refusal) {
        self.dequeue(at);
        self.mark_refused(at, why);
        self.notify(at);
    }

    pub(crate) fn mark_refused(&mut self, at: u32, why: Refusal) {
        let retry_after = self.retry_after(usize::from(self.rows[at as usize].tier), why);
        let row = &mut self.rows[at as usize];
        row.set_refusal(why);
        row.until = retry_after;
        row.set_state(State::Refused);
        self.globals.finished += 1;
    }

    pub(crate) fn refuse_all_queued(&mut self, tier: usize, why: Refusal) {
        for at in 0..self.globals.free.high_water() as u32 {
            let row = &self.rows[at as usize];
            if row.state() == State::Queued && usize::from(row.tier) == tier {
                self.refuse_queued(at, why);
            }
        }
    }

    /// Why a request missed its deadline: no slot was free, or no backend was reachable.
    pub(crate) fn deadline_refusal(&self, at: u32) -> Refusal {
        let is_there =
            |index: usize| self.is_available(index) && !self.backends[index].outage.is_active();
        let mut candidates = self.rows[at as usize].candidates.iter();
        if candidates.any(|candidate| is_there(usize::from(candidate.backend))) {
            Refusal::Expired
        } else {
            Refusal::NoBackend
        }
    }
}

fn is_load(why: Refusal) -> bool {
    matches!(why, Refusal::QueueFull | Refusal::Unmeetable | Refusal::Expired)
}
