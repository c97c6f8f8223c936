//! What could run where, as far as limits and the state of backends go.

use crate::api::decision::Refusal;
use crate::api::offer::{Candidate, PRIORITIES};
use crate::state::backend::Backend;
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::state::row::Row;

/// The priority that leaves the last part of each backend to the others.
pub(crate) const LOWEST_PRIORITY: u8 = PRIORITIES as u8 - 1;
/// Low-priority requests may fill a backend only so far: the rest is left for bursts of others.
const LOW_PRIORITY_PERCENT: u64 = 85;

/// Whether a request may wait for a backend that is down. One that has just arrived is refused at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Arriving,
    Waiting,
}

impl Ledger<'_> {
    /// Slots of a backend that requests of a priority may fill.
    pub(crate) fn slot_limit(&self, backend: Backend<'_>, priority: u8) -> u32 {
        let limit = backend.effective(self.globals.now);
        if priority == LOWEST_PRIORITY { low_priority_part(limit) } else { limit }
    }

    /// How many priorities, from the highest, could get one more slot on any backend of a tier. Looks at slots
    /// alone, and only under the caps of backend, node and tier: it saves searches of the queue that would
    /// find nothing.
    pub(crate) fn priorities_with_free_slots(&self, tier: usize) -> usize {
        if !self.caps.get(CapKind::Tier, tier).has_room(1) {
            return 0;
        }
        let now = self.globals.now;
        let mut most = 0;
        for index in self.tiers[tier].backends.iter() {
            let backend = self.backend(index);
            let (used, limit) = (backend.cap.used.slots, backend.effective(now));
            let is_open = used < limit
                && backend.is_usable()
                && backend.closed_until <= now
                && backend.outage.admits(now)
                && backend.node().is_none_or(|node| self.caps.get(CapKind::Node, node).has_room(1));
            if is_open && used < low_priority_part(limit) {
                return PRIORITIES;
            }
            if is_open {
                most = PRIORITIES - 1;
            }
        }
        most
    }

    /// Whether any backend of its tier has KV memory left for a row: there may be free slots where
    /// memory is what everyone waits for.
    pub(crate) fn has_free_memory(&self, row: &Row) -> bool {
        let mut backends = self.tiers[usize::from(row.tier)].backends.iter();
        backends.any(|index| {
            let backend = self.backend(index);
            backend.is_usable() && backend.has_memory(row.resources.kv)
        })
    }

    /// Whether a tier has a backend that is worth waiting for: one that is down may come back.
    pub(crate) fn has_backend_in_service(&self, tier: usize) -> bool {
        self.caps.get(CapKind::Tier, tier).bound() != 0
            && self.tiers[tier].backends.iter().any(|index| self.is_in_service(index))
    }

    /// Whether a backend may get requests: it is not down and not drained, nor is its node.
    pub(crate) fn is_available(&self, index: usize) -> bool {
        self.backend(index).is_usable() && self.is_in_service(index)
    }

    /// Whether neither a backend nor its node is drained.
    fn is_in_service(&self, index: usize) -> bool {
        let backend = self.backend(index);
        let is_drained = |node| self.caps.get(CapKind::Node, node).bound() == 0;
        backend.cap.bound() != 0 && !backend.node().is_some_and(is_drained)
    }

    /// Whether a backend could take a row if nothing else ran. One that could not is no candidate, however
    /// empty it is, and is not reserved for it either.
    pub(crate) fn could_serve(&self, index: usize, row: &Row) -> bool {
        self.backend(index).is_usable() && self.is_large_enough(index, row)
    }

    #[inline]
    fn is_large_enough(&self, index: usize, row: &Row) -> bool {
        row.resources.slots <= self.caps.bound(&self.path(row, index))
            && self.could_hold_prompt(index, row)
    }

    pub(crate) fn could_hold_prompt(&self, index: usize, row: &Row) -> bool {
        u64::from(row.prompt) <= self.backends[index].kv_limit().unwrap_or(u64::MAX)
    }

    /// Whether none of a row's candidates is available although its tier has another backend that is.
    fn needs_other_candidates(&self, row: &Row) -> bool {
        let is_available = |one: Candidate| self.is_available(usize::from(one.backend));
        !row.candidates.iter().any(is_available) && {
            let mut backends = self.tiers[usize::from(row.tier)].backends.iter();
            backends.any(|index| self.is_available(index))
        }
    }

    /// Why a row cannot run on any of its candidates in their present state, if that is so. It is too wide
    /// or too long only if it would still be when every backend is up.
    pub(crate) fn why_unservable(&self, row: &Row, phase: Phase) -> Option<Refusal> {
        let could = |candidate: Candidate| {
            let index = usize::from(candidate.backend);
            (phase == Phase::Waiting || self.backend(index).is_usable())
                && self.is_large_enough(index, row)
        };
        // Its owner can offer it again, to the other backends. What is too large for these candidates may fit
        // there.
        if phase == Phase::Waiting && self.needs_other_candidates(row) {
            return Some(Refusal::NoBackend);
        }
        if row.candidates.iter().any(could) {
            return None;
        }
        let slots = |index: usize| {
            // Nobody knows how many slots a drained backend will have.
            let limit = match self.backend(index).cap.bound() {
                0 => u32::MAX,
                limit => limit,
            };
            let others = self.path(row, index).without(CapKind::Backend);
            u64::from(limit.min(self.caps.bound(&others)))
        };
        let tokens = |index: usize| self.backends[index].kv_limit().unwrap_or(u64::MAX);
        let prompt = u64::from(row.prompt);
        let most_tokens = largest(row, tokens);
        let most = largest(row, |index| if tokens(index) >= prompt { slots(index) } else { 0 });
        // Without a candidate, or under a cap of 0, its size is not the reason.
        if largest(row, slots) > 0 && most_tokens < prompt {
            Some(Refusal::TooLong { most: most_tokens as u32 })
        } else if most > 0 && most < u64::from(row.resources.slots) {
            Some(Refusal::TooWide { most: most as u32 })
        } else {
            Some(Refusal::NoBackend)
        }
    }
}

/// Slots of a backend that low-priority requests may fill.
fn low_priority_part(limit: u32) -> u32 {
    (u64::from(limit) * LOW_PRIORITY_PERCENT).div_ceil(100) as u32
}

/// The largest value among a row's candidates.
fn largest(row: &Row, value: impl Fn(usize) -> u64) -> u64 {
    row.candidates.iter().map(|one| value(usize::from(one.backend))).max().unwrap_or(0)
}
