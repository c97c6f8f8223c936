//! Room that is kept free: what does not fit is not passed by for ever.

use super::dispatch::{LOWEST_PRIORITY, MAX_BYPASSES};
use crate::api::ids::BackendIndex;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::NO_BACKEND;
use crate::state::tier::TierState;
use crate::time::{MILLISECOND, Nanos};

/// For how long others may go before a request that does not fit.
const MAX_BYPASS_TIME: Nanos = 250 * MILLISECOND;

impl Ledger<'_> {
    /// Backends are kept free no longer for those whom that cannot help: the backend went or shrank, or
    /// what is waited for is a tenant's own limit, or others are more urgent.
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

    /// Grants a request that a backend is kept free for. Others may come before it in turn by now,
    /// but they cannot have that backend, and all would wait for each other.
    pub(crate) fn grant_reserved(&mut self, tier: usize) -> bool {
        let mut backends = self.tiers[tier].backends.iter();
        backends.any(|backend| {
            let at = self.backends[backend].reserved_for;
            at != NONE && usize::from(self.rows[at as usize].tier) == tier && self.grant_if_fits(at)
        })
    }

    /// Whether a row of the low band has more urgent ones beside it, for whom the last part of each
    /// backend is left.
    fn yields_to_others(&self, at: u32) -> bool {
        let row = &self.rows[at as usize];
        let group = self.tiers[usize::from(row.tier)].group;
        let is_urgent = |tier: &TierState| {
            tier.priorities[..usize::from(LOWEST_PRIORITY)]
                .iter()
                .any(|priority| priority.requests > 0)
        };
        row.priority == LOWEST_PRIORITY
            && self.tiers.iter().any(|tier| tier.group == group && is_urgent(tier))
    }

    /// Whether others have gone often or long enough before a row that does not fit. One that waits
    /// for its own tenant, or stands back, keeps nobody else waiting.
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

    /// Keeps a backend free for an overdue row: nothing else goes there, nor into the last room of its
    /// tier and node. All other backends stay in use.
    pub(crate) fn reserve_best(&mut self, at: u32) {
        if self.rows[at as usize].reserved_backend != NO_BACKEND {
            return;
        }
        let row = &self.rows[at as usize];
        let may_reserve = |&index: &usize| {
            self.backends[index].reserved_for == NONE && self.could_serve(index, row)
        };
        let prefill_used = |&index: &usize| self.backends[index].cap.used.prefill;
        let backends = row.candidates.iter().map(|candidate| usize::from(candidate.backend));
        if let Some(backend) = backends.filter(may_reserve).min_by_key(prefill_used) {
            self.reserve(at, backend as BackendIndex);
        }
    }

    pub(crate) fn reserve(&mut self, at: u32, reserved_backend: BackendIndex) {
        let row = &mut self.rows[at as usize];
        row.reserved_backend = reserved_backend;
        let (tier, slots) = (usize::from(row.tier), row.resources.slots);
        let backend = &mut self.backends[usize::from(reserved_backend)];
        backend.reserved_for = at;
        self.globals.reservations += 1;
        self.tiers[tier].cap.reserved += slots;
        if let Some(node) = backend.node() {
            self.nodes[node].reserved += slots;
        }
    }

    /// No backend is kept free for a row any longer.
    pub(crate) fn cancel_reservation(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        let reserved_backend = std::mem::replace(&mut row.reserved_backend, NO_BACKEND);
        if reserved_backend == NO_BACKEND {
            return;
        }
        let (tier, slots) = (usize::from(row.tier), row.resources.slots);
        let backend = &mut self.backends[usize::from(reserved_backend)];
        backend.reserved_for = NONE;
        self.globals.reservations -= 1;
        self.reservation_cancelled = true;
        self.tiers[tier].cap.reserved -= slots;
        if let Some(node) = backend.node() {
            self.nodes[node].reserved -= slots;
        }
    }
}
