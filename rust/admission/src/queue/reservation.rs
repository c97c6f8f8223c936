//! Backends that are reserved for a request that does not fit yet, so that smaller ones do not pass it by
//! for ever (EASY backfill).

use super::capacity::LOWEST_PRIORITY;
use super::dispatch::MAX_BYPASSES;
use crate::api::ids::BackendIndex;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::NO_BACKEND;
use crate::state::tier::TierState;
use crate::time::{MILLISECOND, Nanos};

/// For how long others may go before a request that does not fit.
const MAX_BYPASS_TIME: Nanos = 250 * MILLISECOND;

impl Ledger<'_> {
    /// Drops reservations that can no longer be satisfied: the backend is down or shrank, the row waits for
    /// its tenant's own limit, or more urgent requests wait.
    pub(crate) fn drop_useless_reservations(&mut self) {
        for backend in 0..self.backends.len() {
            let at = self.backends[backend].reserved_for;
            if at == NONE || self.drop_if_unservable(at) {
                continue;
            }
            let could = self.could_serve(backend, &self.rows[at as usize]);
            if !could || !self.tenant_has_room(at) || self.yields_to_others(at) {
                self.cancel_reservation(at);
            }
        }
    }

    /// Grants a request that has a reservation, whatever its place in the queue: the requests before it
    /// cannot have that backend, and would wait for it in vain.
    pub(crate) fn grant_reserved(&mut self, tier: usize) -> bool {
        let mut backends = self.tiers[tier].backends.iter();
        backends.any(|backend| {
            let at = self.backends[backend].reserved_for;
            at != NONE && usize::from(self.rows[at as usize].tier) == tier && self.grant_if_fits(at)
        })
    }

    /// Whether a row has low priority and more urgent ones wait for the same GPUs: the last part of each
    /// backend is theirs.
    fn yields_to_others(&self, at: u32) -> bool {
        let row = &self.rows[at as usize];
        let group = self.tiers[usize::from(row.tier)].group;
        let is_urgent = |tier: &TierState| {
            tier.priorities[..usize::from(LOWEST_PRIORITY)].iter().any(|queue| queue.requests > 0)
        };
        let mut others = self.tiers.iter();
        row.priority == LOWEST_PRIORITY && others.any(|tier| tier.group == group && is_urgent(tier))
    }

    /// Whether others have gone often or long enough before a row that does not fit. A row that waits for
    /// its own tenant's limit, or yields to others, gets no reservation.
    pub(crate) fn is_overdue(&mut self, at: u32) -> bool {
        if !self.tenant_has_room(at) || self.yields_to_others(at) {
            return false;
        }
        let now = self.globals.now;
        let row = &mut self.rows[at as usize];
        if row.blocked == 0 {
            row.blocked = now.max(1);
        }
        usize::from(row.bypassed) >= MAX_BYPASSES
            || now.saturating_sub(row.blocked) >= MAX_BYPASS_TIME
    }

    /// Reserves for an overdue row the candidate that will have room first: nothing else is granted there,
    /// nor into the last slots of the shared caps above it. All other backends stay in use.
    pub(crate) fn reserve_best(&mut self, at: u32) {
        if self.rows[at as usize].reserved_backend != NO_BACKEND {
            return;
        }
        let row = &self.rows[at as usize];
        let may_reserve = |&index: &usize| {
            self.backends[index].reserved_for == NONE && self.could_serve(index, row)
        };
        let prefill_used = |&index: &usize| self.backend(index).cap.used.prefill;
        let backends = row.candidates.iter().map(|candidate| usize::from(candidate.backend));
        if let Some(backend) = backends.filter(may_reserve).min_by_key(prefill_used) {
            self.reserve(at, backend as BackendIndex);
        }
    }

    pub(crate) fn reserve(&mut self, at: u32, backend: BackendIndex) {
        self.rows[at as usize].reserved_backend = backend;
        let row = &self.rows[at as usize];
        self.caps.reserve(&self.path(row, usize::from(backend)), row.resources.slots);
        self.backends[usize::from(backend)].reserved_for = at;
        self.globals.reservations += 1;
    }

    /// Gives up the reservation of a row, if it has one.
    pub(crate) fn cancel_reservation(&mut self, at: u32) {
        let backend = std::mem::replace(&mut self.rows[at as usize].reserved_backend, NO_BACKEND);
        if backend == NO_BACKEND {
            return;
        }
        let row = &self.rows[at as usize];
        self.caps.unreserve(&self.path(row, usize::from(backend)), row.resources.slots);
        self.backends[usize::from(backend)].reserved_for = NONE;
        self.globals.reservations -= 1;
        self.reservation_cancelled = true;
    }
}
