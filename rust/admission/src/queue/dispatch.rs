//! Grants: the operation that frees capacity grants it before it unlocks.

use crate::api::ids::BackendIndex;
use crate::state::caps::{CapKind, Scope};
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{Nanos, SECOND};

/// After this many grants to others, a request that does not fit gets a reservation (EASY backfill).
pub(crate) const MAX_BYPASSES: usize = 8;

/// The highest priority goes first until it uses this part of a tier's slots.
const TOP_PRIORITY_PERCENT: u64 = 80;

/// Rows that did not fit, taken out of the queue until the search ends.
#[derive(Debug, Default)]
struct Skipped {
    rows: [u32; MAX_BYPASSES],
    count: usize,
}

impl Skipped {
    fn is_full(&self) -> bool {
        self.count == MAX_BYPASSES
    }

    fn push(&mut self, at: u32) {
        self.rows[self.count] = at;
        self.count += 1;
    }

    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.rows[..self.count].iter().copied()
    }
}

impl Ledger<'_> {
    /// Grants everything that fits now.
    pub(crate) fn dispatch(&mut self) {
        if self.globals.reservations > 0 {
            self.drop_useless_reservations();
        }
        let mut tiers = self.globals.waiting;
        while tiers != 0 {
            let tier = self.next_tier(tiers);
            self.reservation_cancelled = false;
            let go_on = self.dispatch_tier(tier);
            if self.reservation_cancelled {
                // Other tiers may have waited for the reserved backend.
                tiers = self.globals.waiting;
            } else if !go_on || self.globals.waiting & 1 << tier == 0 {
                tiers &= !(1 << tier);
            }
        }
    }

    /// The next tier: one with nothing running first, so that each has at least one slot; else the one that
    /// was served least for its share.
    fn next_tier(&self, tiers: u64) -> usize {
        let first = tiers.trailing_zeros() as usize;
        if tiers.is_power_of_two() {
            return first;
        }
        let waiting = (first..self.tiers.len()).filter(|tier| tiers & 1 << tier != 0);
        let key = |&tier: &usize| {
            let state = &self.tiers[tier];
            let used = self.caps.get(CapKind::Tier, tier).used.slots;
            (used != 0, state.service)
        };
        waiting.min_by_key(key).unwrap_or(first)
    }

    /// Grants one request of a tier, if one fits. Returns whether another may fit.
    fn dispatch_tier(&mut self, tier: usize) -> bool {
        let priorities = self.priorities_with_free_slots(tier);
        if priorities == 0 {
            return false;
        }
        if self.grant_reserved(tier) {
            return true;
        }
        let mut skipped = Skipped::default();
        let mut granted = false;
        while let Some(at) = self.next_row(tier, priorities) {
            if self.drop_if_unservable(at) {
                continue;
            }
            let row = &self.rows[at as usize];
            let (flow, priority) = (row.flow, usize::from(row.priority));
            if !self.tenant_has_room(at) && row.tenant == self.flows[flow as usize].tenant() {
                self.park_flow(flow, priority);
                continue;
            }
            granted = self.grant_if_fits(at);
            if granted || skipped.is_full() {
                break;
            }
            if self.is_overdue(at) {
                self.reserve_best(at);
            }
            self.unlink_row(at, priority);
            skipped.push(at);
        }
        for at in skipped.iter() {
            let row = &mut self.rows[at as usize];
            row.bypassed = row.bypassed.saturating_add(u8::from(granted));
            let priority = usize::from(row.priority);
            self.link_row(at, priority);
        }
        granted
    }

    /// Grants a waiting request if it fits.
    pub(crate) fn grant_if_fits(&mut self, at: u32) -> bool {
        if !self.tenant_has_room(at) {
            return false;
        }
        let Some((backend, prefill)) = self.choose_backend(at) else { return false };
        self.dequeue(at);
        self.grant(at, backend, prefill, State::Granted);
        self.notify(at);
        true
    }

    /// The next request of a tier, among its first `most` priorities.
    fn next_row(&self, tier: usize, most: usize) -> Option<u32> {
        let priorities = &self.tiers[tier].priorities;
        let waiting = |priority: &usize| priorities[*priority].root != NONE;
        let top = (0..most).find(waiting)?;
        let several = (top + 1..most).any(|priority| waiting(&priority));
        let priority = if several && (top != 0 || self.top_priority_is_full(tier)) {
            (0..most).filter(waiting).min_by_key(|&priority| priorities[priority].service)?
        } else {
            top
        };
        Some(self.flows[priorities[priority].root as usize].heads[priority])
    }

    fn top_priority_is_full(&self, tier: usize) -> bool {
        let state = &self.tiers[tier];
        let effective = |index: usize| u64::from(self.backend(index).effective(self.globals.now));
        let slots: u64 =
            state.backends.iter().filter(|&index| self.is_available(index)).map(effective).sum();
        let slots = slots.min(u64::from(self.caps.get(CapKind::Tier, tier).bound()));
        u64::from(state.priorities[0].used) * 100 >= slots * TOP_PRIORITY_PERCENT
    }

    pub(crate) fn tenant_has_room(&self, at: u32) -> bool {
        let row = &self.rows[at as usize];
        self.caps.fits(&self.caps.path(row, None), Scope::Tenant, row.resources.slots)
    }

    /// Gives a permit to a row that is in no queue.
    pub(crate) fn grant(&mut self, at: u32, backend: BackendIndex, prefill: u64, state: State) {
        let now = self.globals.now;
        self.globals.grants += 1;
        self.backends[usize::from(backend)].last_grant = self.globals.grants;
        let chosen = self.backend(usize::from(backend));
        let ahead = (chosen.cap.used.prefill + prefill) as f64;
        let seconds = chosen.prefill_rate.get().map_or(0.0, |rate| ahead / rate);
        let predicted = (seconds * SECOND as f64) as Nanos;
        let prefilled_before = chosen.prefill_rate.total();
        let row = &mut self.rows[at as usize];
        row.backend = backend;
        row.resources.prefill = prefill;
        row.granted = now;
        row.predicted = predicted;
        row.trial = u32::from(self.backends[usize::from(backend)].outage.is_active());
        row.prefilled_before = prefilled_before;
        (row.cost, row.settled) = (0, 0);
        let cost = prefill + 2 * u64::from(row.expected);
        let tier = usize::from(row.tier);
        if state == State::Granted {
            let (arrived, deadline) = (row.arrived, row.deadline);
            self.tiers[tier].note_sojourn(now - arrived, deadline - arrived, now);
        }
        match state {
            // The generation of the row began when it was queued.
            State::Granted => row.set_state(state),
            _ => row.begin(state),
        }
        self.add_cost(at, cost);
        self.charge_caps(at);
        debug_assert!(self.caps.are_kept(&self.path_of(at)), "a grant exceeds a cap");
        self.begin_prefill(at);
    }
}
