//! Chooses the backend of a request when it is dispatched (late binding).

use crate::api::ids::BackendIndex;
use crate::api::offer::{Candidate, MAX_CANDIDATES};
use crate::state::caps::{CapPath, Caps, Scope};
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, Row};
use crate::time::Nanos;

/// One grant in this many goes to a random backend with room: a backend that is believed to be slow is
/// measured again.
const EXPLORE: u64 = 100;

/// A backend with room for the request, and how good it is for it.
#[derive(Debug, Clone, Copy)]
struct Placement {
    candidate: Candidate,
    /// Prompt tokens that are not in the backend's prefix cache.
    prefill: u64,
    /// Seconds of prefill ahead × utilization; less is better.
    score: f64,
    kv_utilization: f64,
    last_grant: u64,
}

/// What a row's candidates are compared with.
#[derive(Debug, Clone, Copy)]
struct Averages {
    /// The share of all their slots that is in use.
    utilization: f64,
    /// Prompt tokens a second: assumed of a backend whose rate is not known.
    prefill_rate: f64,
}

impl Ledger<'_> {
    /// The best backend that a waiting row fits on, under all limits at once, and the prompt tokens
    /// that it will have to process there. Changes nothing but the random state.
    pub(crate) fn choose_backend(&mut self, at: u32) -> Option<(BackendIndex, u64)> {
        let now = self.globals.now;
        let mut best: Option<Placement> = None;
        let mut fitting = [0; MAX_CANDIDATES];
        let mut count = 0;
        let row = &self.rows[at as usize];
        if !self.fits_beside_reservations(row, Scope::Service, &self.caps.path(row, None)) {
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
        // A backend with the prefix has served it before, and elsewhere the prompt would have to be
        // processed anew.
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

    fn averages(&self, row: &Row, now: Nanos) -> Averages {
        let (mut used, mut slots, mut rates, mut known) = (0u64, 0u64, 0.0, 0.0);
        for candidate in row.candidates.iter() {
            let backend = self.backend(usize::from(candidate.backend));
            if backend.is_usable() {
                used += u64::from(backend.cap.used.slots);
                slots += u64::from(backend.effective(now));
            }
            if let Some(rate) = backend.prefill_rate.get() {
                rates += rate;
                known += 1.0;
            }
        }
        let prefill_rate = if known == 0.0 { 1.0 } else { rates / known };
        Averages { utilization: used as f64 / slots.max(1) as f64, prefill_rate }
    }

    fn evaluate(
        &self,
        at: u32,
        row: &Row,
        candidate: Candidate,
        averages: Averages,
        now: Nanos,
    ) -> Option<Placement> {
        let index = usize::from(candidate.backend);
        let backend = self.backend(index);
        let slots = row.resources.slots;
        let limit = u64::from(backend.effective(now));
        let used = backend.cap.used;
        // A request that is wider than a limit which shrank still fits an empty backend.
        let fits = used.slots == 0 && backend.cap.has_room(slots)
            || used.slots.saturating_add(slots) <= self.slot_limit(backend, row.priority);
        let is_open = backend.is_usable()
            && backend.closed_until <= now
            && backend.outage.admits(now)
            && (backend.reserved_for == NONE || backend.reserved_for == at);
        if !fits || !is_open {
            return None;
        }
        if !self.could_hold_prompt(index, row)
            || !self.fits_beside_reservations(row, Scope::Machine, &self.path(row, index))
        {
            return None;
        }
        // Its prefix is worth nothing on a backend that is much fuller than the others.
        let utilization = f64::from(used.slots) / limit.max(1) as f64;
        let is_crowded = utilization > 1.25 * averages.utilization + 1.0 / limit.max(1) as f64;
        let hit = if is_crowded { 0 } else { candidate.hit };
        let prefill = u64::from(row.prompt.saturating_sub(hit).max(1));
        if !backend.has_tokens(prefill, row.resources.kv) {
            return None;
        }
        let rate = backend.prefill_rate.get().unwrap_or(averages.prefill_rate);
        let speed = rate * limit.max(1) as f64 * f64::from(backend.weight);
        Some(Placement {
            candidate,
            prefill,
            // LMetric (arXiv 2603.15202), made comparable between unequal backends.
            score: (used.prefill + prefill) as f64 * f64::from(used.slots + 1) / speed,
            kv_utilization: backend.kv_limit().map_or(0.0, |limit| used.kv as f64 / limit as f64),
            last_grant: backend.last_grant,
        })
    }

    /// Whether a row fits under its caps of a scope. The last slots of a cap are left to the rows that have
    /// reserved a backend under it and wait for nothing else; a row with a reservation may take them.
    #[inline]
    fn fits_beside_reservations(&self, row: &Row, scope: Scope, path: &CapPath) -> bool {
        let slots = row.resources.slots;
        let reserved_by_others = |cap: usize| {
            if row.reserved_backend == NO_BACKEND { self.reserved_under(cap) } else { 0 }
        };
        self.caps.fits_beside_reservations(path, scope, slots, reserved_by_others)
    }

    /// Slots under a cap that are reserved on backends which could take them now.
    #[cold]
    fn reserved_under(&self, cap: usize) -> u32 {
        let reserved = (0..self.backends.len()).filter_map(|index| {
            let at = self.backends[index].reserved_for;
            let row = self.rows.get(at as usize)?;
            let waits_for_cap = Caps::is_under(&self.path(row, index), cap)
                && self.backend(index).fits(row.resources, self.globals.now);
            waits_for_cap.then_some(row.resources.slots)
        });
        reserved.sum()
    }
}

impl Placement {
    fn is_better(&self, other: &Placement) -> bool {
        let key = |one: &Placement| (one.score, one.kv_utilization);
        match key(self).partial_cmp(&key(other)) {
            Some(std::cmp::Ordering::Less) => true,
            Some(std::cmp::Ordering::Equal) => self.last_grant < other.last_grant,
            _ => false,
        }
    }
}
