//! Room that is kept free: what does not fit is not passed by for ever.

use super::dispatch::{LOW, MOST_BYPASSES};
use crate::api::ids::BackendIndex;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::NO_BACKEND;
use crate::state::tier::TierState;
use crate::time::{MILLISECOND, Nanos};

/// For how long others may go before a request that does not fit.
const LONGEST_BYPASS: Nanos = 250 * MILLISECOND;

impl Ledger<'_> {
    /// Backends are kept free no longer for those whom that cannot help: the backend went or shrank, or
    /// what is waited for is a tenant's own limit, or others are more urgent.
    pub(crate) fn end_vain_holds(&mut self) {
        for backend in 0..self.backends.len() {
            let at = self.backends[backend].held_for;
            if at == NONE || self.turn_away(at) {
                continue;
            }
            let could = self.could_take(backend, &self.rows[at as usize]);
            if !could || !self.tenant_has_room(at) || self.stands_back(at) {
                self.let_go(at);
            }
        }
    }

    /// Grants a request that a backend is kept free for. Others may come before it in turn by now,
    /// but they cannot have that backend, and all would wait for each other.
    pub(crate) fn dispatch_held(&mut self, tier: usize) -> bool {
        let mut backends = self.tiers[tier].backends.iter();
        backends.any(|backend| {
            let at = self.backends[backend].held_for;
            at != NONE && usize::from(self.rows[at as usize].tier) == tier && self.let_in(at)
        })
    }

    /// Whether a row of the low band has more urgent ones beside it, for whom the last part of each
    /// backend is left.
    fn stands_back(&self, at: u32) -> bool {
        let row = &self.rows[at as usize];
        let group = self.tiers[usize::from(row.tier)].group;
        let is_urgent =
            |tier: &TierState| tier.bands[..usize::from(LOW)].iter().any(|band| band.requests > 0);
        row.band == LOW && self.tiers.iter().any(|tier| tier.group == group && is_urgent(tier))
    }

    /// Whether others have gone often or long enough before a row that does not fit. One that waits
    /// for its own tenant, or stands back, keeps nobody else waiting.
    pub(crate) fn is_overdue(&mut self, at: u32) -> bool {
        if !self.tenant_has_room(at) || self.stands_back(at) {
            return false;
        }
        let now = self.board.now;
        let row = &mut self.rows[at as usize];
        if row.blocked == 0 {
            row.blocked = now.max(1);
        }
        usize::from(row.bypassed) >= MOST_BYPASSES
            || now.saturating_sub(row.blocked) >= LONGEST_BYPASS
    }

    /// Keeps a backend free for an overdue row: nothing else goes there, nor into the last room of its
    /// tier and node. All other backends stay in use.
    pub(crate) fn hold(&mut self, at: u32) {
        if self.rows[at as usize].holds != NO_BACKEND {
            return;
        }
        let row = &self.rows[at as usize];
        let may_hold =
            |&index: &usize| self.backends[index].held_for == NONE && self.could_take(index, row);
        let emptiness = |&index: &usize| self.backends[index].cap.used.prefill;
        let backends = row.candidates.iter().map(|candidate| usize::from(candidate.backend));
        if let Some(backend) = backends.filter(may_hold).min_by_key(emptiness) {
            self.keep_free(at, backend as BackendIndex);
        }
    }

    pub(crate) fn keep_free(&mut self, at: u32, holds: BackendIndex) {
        let row = &mut self.rows[at as usize];
        row.holds = holds;
        let (tier, slots) = (usize::from(row.tier), row.resources.slots);
        let backend = &mut self.backends[usize::from(holds)];
        backend.held_for = at;
        self.board.held += 1;
        self.tiers[tier].cap.promised += slots;
        if let Some(node) = backend.node() {
            self.nodes[node].promised += slots;
        }
    }

    /// No backend is kept free for a row any longer.
    pub(crate) fn let_go(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        let holds = std::mem::replace(&mut row.holds, NO_BACKEND);
        if holds == NO_BACKEND {
            return;
        }
        let (tier, slots) = (usize::from(row.tier), row.resources.slots);
        let backend = &mut self.backends[usize::from(holds)];
        backend.held_for = NONE;
        self.board.held -= 1;
        self.has_let_go = true;
        self.tiers[tier].cap.promised -= slots;
        if let Some(node) = backend.node() {
            self.nodes[node].promised -= slots;
        }
    }
}
