//! Granting: whoever makes room gives it away before letting go of the lock.

use crate::api::ids::BackendIndex;
use crate::api::offer::BANDS;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::{Nanos, SECOND};

/// How often others may go before a request that does not fit; then room is kept for it (EASY
/// backfill).
pub(crate) const MOST_BYPASSES: usize = 8;

/// The top band goes first until it uses this part of a tier's slots.
const TOP_BAND_PERCENT: u64 = 80;

/// The band that leaves the last part of each backend to the others.
pub(crate) const LOW: u8 = BANDS as u8 - 1;

/// Rows that were looked at and did not fit, until the search is over.
#[derive(Debug, Default)]
struct Aside {
    rows: [u32; MOST_BYPASSES],
    count: usize,
}

impl Aside {
    fn is_full(&self) -> bool {
        self.count == MOST_BYPASSES
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
    /// Grants all that fits now.
    pub(crate) fn dispatch(&mut self) {
        if self.board.held > 0 {
            self.end_vain_holds();
        }
        let mut tiers = self.board.waiting;
        while tiers != 0 {
            let tier = self.next_tier(tiers);
            self.has_let_go = false;
            let go_on = self.dispatch_one(tier);
            if self.has_let_go {
                // Others may have waited for the backend that was kept free.
                tiers = self.board.waiting;
            } else if !go_on || self.board.waiting & 1 << tier == 0 {
                tiers &= !(1 << tier);
            }
        }
    }

    /// Of these tiers the one whose turn it is: first who has nothing running, so that each has at
    /// least one slot, then who was served least for its share.
    fn next_tier(&self, tiers: u64) -> usize {
        let first = tiers.trailing_zeros() as usize;
        if tiers.is_power_of_two() {
            return first;
        }
        let waiting = (first..self.tiers.len()).filter(|tier| tiers & 1 << tier != 0);
        let key = |&tier: &usize| {
            let state = &self.tiers[tier];
            (state.cap.used.slots != 0, state.service)
        };
        waiting.min_by_key(key).unwrap_or(first)
    }

    /// Grants one request of a tier, if one fits. Returns whether it is worth to look again.
    fn dispatch_one(&mut self, tier: usize) -> bool {
        if !self.has_free_slot(tier, 0) {
            return false;
        }
        // Behind the ceiling of the low band there is nothing for it to look for.
        let bands = if self.has_free_slot(tier, LOW) { BANDS } else { BANDS - 1 };
        if self.dispatch_held(tier) {
            return true;
        }
        let mut aside = Aside::default();
        let mut granted = false;
        while let Some(at) = self.head(tier, bands) {
            if self.turn_away(at) {
                continue;
            }
            let row = &self.rows[at as usize];
            let (flow, band) = (row.flow, usize::from(row.band));
            if !self.tenant_has_room(at) && row.tenant == self.flows[flow as usize].tenant() {
                self.park(flow, band);
                continue;
            }
            granted = self.let_in(at);
            if granted || aside.is_full() {
                break;
            }
            if self.is_overdue(at) {
                self.hold(at);
            }
            self.step_out(at, band);
            aside.push(at);
        }
        for at in aside.iter() {
            let row = &mut self.rows[at as usize];
            row.bypassed = row.bypassed.saturating_add(u8::from(granted));
            let band = usize::from(row.band);
            self.line_up(at, band);
        }
        granted
    }

    /// Grants a waiting request if it fits.
    pub(crate) fn let_in(&mut self, at: u32) -> bool {
        if !self.tenant_has_room(at) {
            return false;
        }
        let Some((backend, prefill)) = self.place(at) else { return false };
        self.dequeue(at);
        self.grant(at, backend, prefill, State::Granted);
        self.post(at);
        true
    }

    /// The request whose turn it is in the first bands of a tier.
    fn head(&self, tier: usize, most: usize) -> Option<u32> {
        let bands = &self.tiers[tier].bands;
        let waiting = |band: &usize| bands[*band].root != NONE;
        let top = (0..most).find(waiting)?;
        let several = (top + 1..most).any(|band| waiting(&band));
        let band = if several && (top != 0 || self.top_band_is_full(tier)) {
            (0..most).filter(waiting).min_by_key(|&band| bands[band].service)?
        } else {
            top
        };
        Some(self.flows[bands[band].root as usize].heads[band])
    }

    fn top_band_is_full(&self, tier: usize) -> bool {
        let state = &self.tiers[tier];
        let effective = |index: usize| u64::from(self.backends[index].effective(self.board.now));
        let slots: u64 =
            state.backends.iter().filter(|&index| self.is_open(index)).map(effective).sum();
        let slots = slots.min(u64::from(state.cap.bound()));
        u64::from(state.bands[0].used) * 100 >= slots * TOP_BAND_PERCENT
    }

    pub(crate) fn tenant_has_room(&self, at: u32) -> bool {
        let row = &self.rows[at as usize];
        self.tenants[row.tenant as usize].has_room(row.resources.slots)
    }

    /// Gives a row, which is in no queue, its permit.
    pub(crate) fn grant(&mut self, at: u32, backend: BackendIndex, prefill: u64, state: State) {
        let now = self.board.now;
        self.board.grants += 1;
        self.backends[usize::from(backend)].last_grant = self.board.grants;
        let chosen = &self.backends[usize::from(backend)];
        let ahead = (chosen.cap.used.prefill + prefill) as f64;
        let seconds = chosen.reading_rate.get().map_or(0.0, |rate| ahead / rate);
        let predicted = (seconds * SECOND as f64) as Nanos;
        let read_before = chosen.reading_rate.total();
        let row = &mut self.rows[at as usize];
        row.backend = backend;
        row.resources.prefill = prefill;
        row.granted = now;
        row.predicted = predicted;
        row.trial = u32::from(self.backends[usize::from(backend)].outage.is_on());
        row.read_before = read_before;
        (row.charged, row.settled) = (0, 0);
        let cost = prefill + 2 * u64::from(row.expected);
        let tier = usize::from(row.tier);
        if state == State::Granted {
            let (arrived, deadline) = (row.arrived, row.deadline);
            self.tiers[tier].note_sojourn(now - arrived, deadline - arrived, now);
        }
        match state {
            // Its life in this row began when it was queued.
            State::Granted => row.set_state(state),
            _ => row.begin(state),
        }
        self.charge(at, cost);
        self.take_room(at);
        self.begin_reading(at);
    }
}
