//! Which backend: decided only when a request goes (late binding).

use crate::api::ids::BackendIndex;
use crate::api::offer::{Candidate, MAX_CANDIDATES};
use crate::limits::caps::Cap;
use crate::state::backend::BackendState;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, Row};
use crate::time::Nanos;

/// One grant in so many goes to any backend with room, so that a wrong picture of one is noticed.
const EXPLORE: u64 = 100;

/// A backend with room for the request, and how good it is for it.
#[derive(Debug, Clone, Copy)]
struct Placement {
    candidate: Candidate,
    prefill: u64,
    /// Seconds of prefill ahead, times fullness; less is better.
    score: f64,
    kv_fullness: f64,
    last_grant: u64,
}

/// What backends are measured against.
#[derive(Debug, Clone, Copy)]
struct Averages {
    /// The share of all their slots that is in use.
    utilization: f64,
    /// Prompt tokens a second, on average: what one reads that has not shown its speed.
    speed: f64,
}

impl Ledger<'_> {
    /// The best backend with room for a waiting row in everything at once, and the prompt tokens
    /// that it will have to read there. Changes nothing but the dice.
    pub(crate) fn choose_backend(&mut self, at: u32) -> Option<(BackendIndex, u64)> {
        let now = self.globals.now;
        let mut best: Option<Placement> = None;
        let mut fitting = [0; MAX_CANDIDATES];
        let mut count = 0;
        let row = &self.rows[at as usize];
        let tier = &self.tiers[usize::from(row.tier)];
        let is_mine = |_: &BackendState, holder: &Row| holder.tier == row.tier;
        if !self.fits_beside_reservations(&tier.cap, row, is_mine) {
            return None;
        }
        let averages = self.averages(row, now);
        for (index, candidate) in row.candidates.iter().enumerate() {
            let Some(placement) = self.evaluate(at, row, candidate, averages, now) else {
                continue;
            };
            fitting[count] = index;
            count += 1;
            if best.is_none_or(|best| placement.is_better(&best)) {
                best = Some(placement);
            }
        }
        let best = best?;
        // Who has read the prompt is known well enough, and moving away would cost the reading.
        let has_prefix = best.candidate.hit > 0;
        if count > 1 && !has_prefix && self.random().is_multiple_of(EXPLORE) {
            let pick = fitting[self.random() as usize % count];
            let row = &self.rows[at as usize];
            let candidate = row.candidates.iter().nth(pick)?;
            let placement = self.evaluate(at, row, candidate, averages, now)?;
            return Some((candidate.backend, placement.prefill));
        }
        Some((best.candidate.backend, best.prefill))
    }

    /// What a row's candidates are like on the whole.
    fn averages(&self, row: &Row, now: Nanos) -> Averages {
        let (mut used, mut slots, mut speed, mut known) = (0u64, 0u64, 0.0, 0.0);
        for candidate in row.candidates.iter() {
            let backend = &self.backends[usize::from(candidate.backend)];
            if backend.is_usable() {
                used += u64::from(backend.cap.used.slots);
                slots += u64::from(backend.effective(now));
            }
            if let Some(rate) = backend.prefill_rate.get() {
                speed += rate;
                known += 1.0;
            }
        }
        let speed = if known == 0.0 { 1.0 } else { speed / known };
        Averages { utilization: used as f64 / slots.max(1) as f64, speed }
    }

    fn evaluate(
        &self,
        at: u32,
        row: &Row,
        candidate: Candidate,
        averages: Averages,
        now: Nanos,
    ) -> Option<Placement> {
        let backend = &self.backends[usize::from(candidate.backend)];
        let slots = row.resources.slots;
        let limit = u64::from(backend.effective(now));
        let used = backend.cap.used;
        // What is wider than a shrunk limit still fits an empty backend.
        let fits = used.slots == 0 && backend.cap.has_room(slots)
            || used.slots.saturating_add(slots) <= self.slot_limit(backend, row.priority);
        let open = self.could_serve(usize::from(candidate.backend), row)
            && backend.closed_until <= now
            && backend.outage.admits(now)
            && (backend.reserved_for == NONE || backend.reserved_for == at)
            && backend.node().is_none_or(|node| {
                let is_there = |other: &BackendState, _: &Row| other.node() == Some(node);
                self.fits_beside_reservations(&self.nodes[node], row, is_there)
            });
        if !fits || !open {
            return None;
        }
        // A backend that has the prompt but is much fuller than the others is no better than they.
        let utilization = f64::from(used.slots) / limit.max(1) as f64;
        let is_crowded = utilization > 1.25 * averages.utilization + 1.0 / limit.max(1) as f64;
        let hit = if is_crowded { 0 } else { candidate.hit };
        let prefill = u64::from(row.prompt.saturating_sub(hit).max(1));
        if !backend.has_tokens(prefill, row.resources.kv) {
            return None;
        }
        let rate = backend.prefill_rate.get().unwrap_or(averages.speed);
        let speed = rate * limit.max(1) as f64 * f64::from(backend.weight);
        Some(Placement {
            candidate,
            prefill,
            // LMetric (arXiv 2603.15202), made comparable between unequal backends.
            score: (used.prefill + prefill) as f64 * f64::from(used.slots + 1) / speed,
            kv_fullness: backend.kv_limit().map_or(0.0, |limit| used.kv as f64 / limit as f64),
            last_grant: backend.last_grant,
        })
    }

    /// Whether a row fits under the cap of its tier or of a node. The last room there is left to those
    /// whose backend is kept free, and only waits for this; whoever is one of them takes it.
    fn fits_beside_reservations(
        &self,
        cap: &Cap,
        row: &Row,
        is_under: impl Fn(&BackendState, &Row) -> bool,
    ) -> bool {
        let slots = row.resources.slots;
        if cap.reserved == 0 || row.reserved_backend != NO_BACKEND {
            return cap.has_room(slots);
        }
        let held = self.backends.iter().filter(|backend| backend.reserved_for != NONE);
        let kept = held.map(|backend| (backend, &self.rows[backend.reserved_for as usize]));
        let kept = kept.filter(|&(backend, holder)| {
            is_under(backend, holder) && backend.fits(holder.resources, self.globals.now)
        });
        cap.has_room(slots + kept.map(|(_, holder)| holder.resources.slots).sum::<u32>())
    }
}

impl Placement {
    fn is_better(&self, other: &Placement) -> bool {
        let key = |placement: &Placement| (placement.score, placement.kv_fullness);
        match key(self).partial_cmp(&key(other)) {
            Some(std::cmp::Ordering::Less) => true,
            Some(std::cmp::Ordering::Equal) => self.last_grant < other.last_grant,
            _ => false,
        }
    }
}
