//! What could run where, as far as limits and the state of backends go.

use crate::api::decision::Refusal;
use crate::api::offer::{Candidate, PRIORITIES};
use crate::state::backend::BackendState;
use crate::state::ledger::Ledger;
use crate::state::row::Row;

/// Low-band requests may fill a backend only so far: room for bursts of others.
const LOW_PRIORITY_PERCENT: u64 = 85;

/// Whether a request waits for a backend that is down. One that has just come is told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Arriving,
    Waiting,
}

impl Ledger<'_> {
    /// Slots that requests of a band may fill a backend to.
    pub(crate) fn slot_limit(&self, backend: &BackendState, priority: u8) -> u32 {
        let limit = backend.effective(self.globals.now);
        if usize::from(priority) < PRIORITIES - 1 {
            return limit;
        }
        (u64::from(limit) * LOW_PRIORITY_PERCENT).div_ceil(100) as u32
    }

    /// Whether any backend of a tier could take one more slot of a band, as far as slots go.
    pub(crate) fn has_free_slot(&self, tier: usize, priority: u8) -> bool {
        let now = self.globals.now;
        let state = &self.tiers[tier];
        state.cap.has_room(1)
            && state.backends.iter().any(|index| {
                let backend = &self.backends[index];
                backend.is_usable()
                    && backend.closed_until <= now
                    && backend.outage.admits(now)
                    && backend.cap.used.slots < self.slot_limit(backend, priority)
                    && backend.node().is_none_or(|node| self.nodes[node].has_room(1))
            })
    }

    /// Whether any backend of its tier has KV memory left for a row: there may be free slots where
    /// memory is what everyone waits for.
    pub(crate) fn has_free_memory(&self, row: &Row) -> bool {
        let mut backends = self.tiers[usize::from(row.tier)].backends.iter();
        backends.any(|index| {
            let backend = &self.backends[index];
            backend.is_usable() && backend.has_memory(row.resources.kv)
        })
    }

    /// Whether a tier has a backend that is worth waiting for: one that is down may come back.
    pub(crate) fn has_backend_in_service(&self, tier: usize) -> bool {
        let state = &self.tiers[tier];
        state.cap.bound() != 0 && state.backends.iter().any(|index| self.is_in_service(index))
    }

    /// Whether a backend may get requests: it is not down and not drained, nor is its node.
    pub(crate) fn is_available(&self, index: usize) -> bool {
        self.backends[index].is_usable() && self.is_in_service(index)
    }

    /// Whether a backend is drained neither by itself nor with its node.
    fn is_in_service(&self, index: usize) -> bool {
        let backend = &self.backends[index];
        backend.cap.bound() != 0 && backend.node().is_none_or(|node| self.nodes[node].bound() != 0)
    }

    /// Whether a backend could take a row if nothing else ran: one that could not is no place for it,
    /// however empty, and not to be kept free for it either.
    pub(crate) fn could_serve(&self, index: usize, row: &Row) -> bool {
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
    fn needs_other_candidates(&self, row: &Row) -> bool {
        let is_open = |one: Candidate| self.is_available(usize::from(one.backend));
        !row.candidates.iter().any(is_open) && {
            let mut backends = self.tiers[usize::from(row.tier)].backends.iter();
            backends.any(|index| self.is_available(index))
        }
    }

    /// Why a row cannot run anywhere as things are, if that is so. It is told that it is too large only
    /// if that will stay true when every backend is well.
    pub(crate) fn why_unservable(&self, row: &Row, phase: Phase) -> Option<Refusal> {
        let cap_of_tier = self.tiers[usize::from(row.tier)].cap.bound();
        let above = cap_of_tier.min(self.tenants[row.tenant as usize].limit);
        let wide = row.resources.slots;
        let could = |candidate: Candidate| {
            let index = usize::from(candidate.backend);
            (phase == Phase::Waiting || self.backends[index].is_usable())
                && self.is_large_enough(index, row)
        };
        if wide <= above && row.candidates.iter().any(could) && !self.needs_other_candidates(row) {
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
