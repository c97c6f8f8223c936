//! Which backend: decided only when a request goes (late binding).

use super::backend::BackendState;
use super::caps::Cap;
use super::heap::NONE;
use super::ledger::Ledger;
use super::offer::{Candidate, MAX_CANDIDATES, Refusal};
use super::row::{NO_BACKEND, Row};
use super::tier::BANDS;
use crate::index::BackendIndex;
use crate::time::Nanos;

/// Low-band requests may fill a backend only so far: room for bursts of others.
const LOW_BAND_PERCENT: u64 = 85;
/// One grant in so many goes to any backend with room, so that a wrong picture of one is noticed.
const EXPLORE: u64 = 100;

/// Whether a request waits for a backend that is down. One that has just come is told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    Waits,
}

/// A backend with room for the request, and how good it is for it.
#[derive(Debug, Clone, Copy)]
struct Place {
    candidate: Candidate,
    prefill: u64,
    /// Seconds of prefill ahead, times fullness; less is better.
    score: f64,
    kv_fullness: f64,
    last_grant: u64,
}

/// What backends are measured against.
#[derive(Debug, Clone, Copy)]
struct Field {
    /// The share of all their slots that is in use.
    fullness: f64,
    /// Prompt tokens a second, on average: what one reads that has not shown its speed.
    speed: f64,
}

impl Ledger<'_> {
    /// The best backend with room for a waiting row in everything at once, and the prompt tokens
    /// that it will have to read there. Changes nothing but the dice.
    pub(super) fn place(&mut self, at: u32) -> Option<(BackendIndex, u64)> {
        let now = self.board.now;
        let mut best: Option<Place> = None;
        let mut fitting = [0; MAX_CANDIDATES];
        let mut count = 0;
        let row = &self.rows[at as usize];
        let tier = &self.tiers[usize::from(row.tier)];
        let is_mine = |_: &BackendState, holder: &Row| holder.tier == row.tier;
        if !self.has_room_beside(&tier.cap, row, is_mine) {
            return None;
        }
        let field = self.field(row, now);
        for (index, candidate) in row.candidates.iter().enumerate() {
            let Some(option) = self.consider(at, row, candidate, field, now) else { continue };
            fitting[count] = index;
            count += 1;
            if best.is_none_or(|best| option.is_better(&best)) {
                best = Some(option);
            }
        }
        let best = best?;
        // Who has read the prompt is known well enough, and moving away would cost the reading.
        let is_at_home = best.candidate.hit > 0;
        if count > 1 && !is_at_home && self.random().is_multiple_of(EXPLORE) {
            let pick = fitting[self.random() as usize % count];
            let row = &self.rows[at as usize];
            let candidate = row.candidates.iter().nth(pick)?;
            let option = self.consider(at, row, candidate, field, now)?;
            return Some((candidate.backend, option.prefill));
        }
        Some((best.candidate.backend, best.prefill))
    }

    /// What a row's candidates are like on the whole.
    fn field(&self, row: &Row, now: Nanos) -> Field {
        let (mut used, mut slots, mut speed, mut known) = (0u64, 0u64, 0.0, 0.0);
        for candidate in row.candidates.iter() {
            let backend = &self.backends[usize::from(candidate.backend)];
            if backend.is_usable() {
                used += u64::from(backend.cap.used.slots);
                slots += u64::from(backend.effective(now));
            }
            if let Some(rate) = backend.reading_rate.get() {
                speed += rate;
                known += 1.0;
            }
        }
        let speed = if known == 0.0 { 1.0 } else { speed / known };
        Field { fullness: used as f64 / slots.max(1) as f64, speed }
    }

    fn consider(
        &self,
        at: u32,
        row: &Row,
        candidate: Candidate,
        field: Field,
        now: Nanos,
    ) -> Option<Place> {
        let backend = &self.backends[usize::from(candidate.backend)];
        let slots = row.resources.slots;
        let limit = u64::from(backend.effective(now));
        let used = backend.cap.used;
        // What is wider than a shrunk limit still fits an empty backend.
        let fits = used.slots == 0 && backend.cap.has_room(slots)
            || used.slots.saturating_add(slots) <= self.slots_for(backend, row.band);
        let open = self.could_take(usize::from(candidate.backend), row)
            && backend.closed_until <= now
            && backend.outage.admits(now)
            && (backend.held_for == NONE || backend.held_for == at)
            && backend.node().is_none_or(|node| {
                let is_there = |other: &BackendState, _: &Row| other.node() == Some(node);
                self.has_room_beside(&self.nodes[node], row, is_there)
            });
        if !fits || !open {
            return None;
        }
        // A backend that has the prompt but is much fuller than the others is no better than they.
        let fullness = f64::from(used.slots) / limit.max(1) as f64;
        let is_crowded = fullness > 1.25 * field.fullness + 1.0 / limit.max(1) as f64;
        let hit = if is_crowded { 0 } else { candidate.hit };
        let prefill = u64::from(row.prompt.saturating_sub(hit).max(1));
        if !backend.has_tokens(prefill, row.resources.kv) {
            return None;
        }
        let rate = backend.reading_rate.get().unwrap_or(field.speed);
        let speed = rate * limit.max(1) as f64 * f64::from(backend.weight);
        Some(Place {
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
    fn has_room_beside(
        &self,
        cap: &Cap,
        row: &Row,
        is_under: impl Fn(&BackendState, &Row) -> bool,
    ) -> bool {
        let slots = row.resources.slots;
        if cap.promised == 0 || row.holds != NO_BACKEND {
            return cap.has_room(slots);
        }
        let held = self.backends.iter().filter(|backend| backend.held_for != NONE);
        let kept = held.map(|backend| (backend, &self.rows[backend.held_for as usize]));
        let kept = kept.filter(|&(backend, holder)| {
            is_under(backend, holder) && backend.fits(holder.resources, self.board.now)
        });
        cap.has_room(slots + kept.map(|(_, holder)| holder.resources.slots).sum::<u32>())
    }

    /// Slots that requests of a band may fill a backend to.
    fn slots_for(&self, backend: &BackendState, band: u8) -> u32 {
        let limit = backend.effective(self.board.now);
        if usize::from(band) < BANDS - 1 {
            return limit;
        }
        (u64::from(limit) * LOW_BAND_PERCENT).div_ceil(100) as u32
    }

    /// Whether any backend of a tier could take one more slot of a band, as far as slots go.
    pub(super) fn has_free_slot(&self, tier: usize, band: u8) -> bool {
        let now = self.board.now;
        let state = &self.tiers[tier];
        state.cap.has_room(1)
            && state.backends.iter().any(|index| {
                let backend = &self.backends[index];
                backend.is_usable()
                    && backend.closed_until <= now
                    && backend.outage.admits(now)
                    && backend.cap.used.slots < self.slots_for(backend, band)
                    && backend.node().is_none_or(|node| self.nodes[node].has_room(1))
            })
    }

    /// Whether any backend of its tier has KV memory left for a row: there may be free slots where
    /// memory is what everyone waits for.
    pub(super) fn has_free_memory(&self, row: &Row) -> bool {
        let mut backends = self.tiers[usize::from(row.tier)].backends.iter();
        backends.any(|index| {
            let backend = &self.backends[index];
            backend.is_usable() && backend.has_memory(row.resources.kv)
        })
    }

    /// Whether a tier has a backend that is worth waiting for: one that is down may come back.
    pub(super) fn has_backend(&self, tier: usize) -> bool {
        let state = &self.tiers[tier];
        state.cap.bound() != 0 && state.backends.iter().any(|index| self.is_undrained(index))
    }

    /// Whether a backend may get requests: it is not down and not drained, nor is its node.
    pub(super) fn is_open(&self, index: usize) -> bool {
        self.backends[index].is_usable() && self.is_undrained(index)
    }

    /// Whether a backend is drained neither by itself nor with its node.
    fn is_undrained(&self, index: usize) -> bool {
        let backend = &self.backends[index];
        backend.cap.bound() != 0 && backend.node().is_none_or(|node| self.nodes[node].bound() != 0)
    }

    /// Whether a backend could take a row if nothing else ran: one that could not is no place for it,
    /// however empty, and not to be kept free for it either.
    pub(super) fn could_take(&self, index: usize, row: &Row) -> bool {
        self.backends[index].is_usable() && self.is_large_enough(index, row)
    }

    fn is_large_enough(&self, index: usize, row: &Row) -> bool {
        let backend = &self.backends[index];
        row.resources.slots <= backend.cap.bound().min(self.node_bound(backend))
            && u64::from(row.prompt) <= backend.kv_limit().unwrap_or(u64::MAX)
    }

    fn node_bound(&self, backend: &BackendState) -> u32 {
        backend.node().map_or(u32::MAX, |node| self.nodes[node].bound())
    }

    /// Whether none of a row's candidates is open and its tier has another that is.
    fn is_better_off_elsewhere(&self, row: &Row) -> bool {
        let is_open = |one: Candidate| self.is_open(usize::from(one.backend));
        !row.candidates.iter().any(is_open) && {
            let mut backends = self.tiers[usize::from(row.tier)].backends.iter();
            backends.any(|index| self.is_open(index))
        }
    }

    /// Why a row cannot run anywhere as things are, if that is so. It is told that it is too large only
    /// if that will stay true when every backend is well.
    pub(super) fn why_not(&self, row: &Row, patience: Patience) -> Option<Refusal> {
        let cap_of_tier = self.tiers[usize::from(row.tier)].cap.bound();
        let above = cap_of_tier.min(self.tenants[row.tenant as usize].limit);
        let wide = row.resources.slots;
        let could = |candidate: Candidate| {
            let index = usize::from(candidate.backend);
            (patience == Patience::Waits || self.backends[index].is_usable())
                && self.is_large_enough(index, row)
        };
        if wide <= above && row.candidates.iter().any(could) && !self.is_better_off_elsewhere(row) {
            return None;
        }
        let slots = |backend: &BackendState| {
            // Of a drained one nobody knows how large it will be.
            let limit = if backend.cap.bound() == 0 { u32::MAX } else { backend.cap.bound() };
            u64::from(limit.min(self.node_bound(backend)).min(above))
        };
        let tokens = |backend: &BackendState| backend.kv_limit().unwrap_or(u64::MAX);
        let long = u64::from(row.prompt);
        let holds_it = |backend: &BackendState| tokens(backend) >= long;
        let most_tokens = self.largest(row, tokens);
        let most = self.largest(row, |backend| if holds_it(backend) { slots(backend) } else { 0 });
        // Without a candidate, or under a cap of 0, it is not for its size.
        if self.largest(row, slots) > 0 && most_tokens < long {
            Some(Refusal::TooLong { most: most_tokens as u32 })
        } else if most > 0 && most < u64::from(wide) {
            Some(Refusal::TooWide { most: most as u32 })
        } else {
            Some(Refusal::NoBackend)
        }
    }

    /// The largest value among a row's candidates.
    fn largest(&self, row: &Row, value: impl Fn(&BackendState) -> u64) -> u64 {
        let backends = row.candidates.iter();
        let values =
            backends.map(|candidate| value(&self.backends[usize::from(candidate.backend)]));
        values.max().unwrap_or(0)
    }
}

impl Place {
    fn is_better(&self, other: &Place) -> bool {
        let key = |option: &Place| (option.score, option.kv_fullness);
        match key(self).partial_cmp(&key(other)) {
            Some(std::cmp::Ordering::Less) => true,
            Some(std::cmp::Ordering::Equal) => self.last_grant < other.last_grant,
            _ => false,
        }
    }
}
