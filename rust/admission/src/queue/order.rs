//! The waiting requests of a tier: bands of flows of rows.
//!
//! In a band the flow that was served least goes first; in a flow the row with the earliest
//! deadline, and of equal ones the older.

use crate::state::heap::{self, Elements, NONE, Node};
use crate::state::ledger::Ledger;
use crate::state::row::Row;

/// Rows in the order of their deadlines.
pub(crate) struct Deadlines<'a>(pub(crate) &'a mut [Row]);

impl Elements for Deadlines<'_> {
    fn node(&self, at: u32) -> &Node {
        &self.0[at as usize].node
    }
    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.0[at as usize].node
    }
    fn is_before(&self, one: u32, other: u32) -> bool {
        let key = |at: u32| {
            let row = &self.0[at as usize];
            (row.deadline, row.sequence)
        };
        key(one) < key(other)
    }
}

impl Ledger<'_> {
    /// Puts a row into its queue. Who comes back from idling begins where the others are (VTC's lift).
    pub(crate) fn enqueue(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (tier, band, flow) = (usize::from(row.tier), usize::from(row.band), row.flow as usize);
        let group_clock = self.tiers[self.tiers[tier].group as usize].group_clock;
        self.lift_band(tier, band);
        let state = &mut self.tiers[tier];
        if state.requests == 0 {
            state.service = state.service.max(group_clock);
        }
        if self.flows[flow].waiting == 0 {
            self.flows[flow].service = self.flows[flow].service.max(state.flow_clock);
        }
        self.count_in(at);
    }

    /// Counts a row as waiting, at the place that its tenant and tier have earned.
    pub(crate) fn count_in(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (index, band, flow) = (usize::from(row.tier), usize::from(row.band), row.flow);
        let slots = row.resources.slots;
        let tier = &mut self.tiers[index];
        if tier.requests == 0 {
            tier.speed.set_demand(true, self.board.now);
        }
        tier.requests += 1;
        tier.tokens += u64::from(row.prompt);
        tier.bytes += row.bytes;
        tier.earliest = tier.earliest.min(row.deadline);
        self.board.waiting |= 1 << index;
        self.flows[flow as usize].waiting += 1;
        self.flows[flow as usize].waiting_slots += slots;
        self.line_up(at, band);
    }

    fn lift_band(&mut self, tier: usize, band: usize) {
        let band_clock = self.tiers[tier].band_clock;
        let state = &mut self.tiers[tier].bands[band];
        if state.requests == 0 {
            state.service = state.service.max(band_clock);
        }
    }

    /// Takes a row out of its queue, wherever it stands in it.
    pub(crate) fn dequeue(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (index, band, flow) = (usize::from(row.tier), usize::from(row.band), row.flow);
        let slots = row.resources.slots;
        let tier = &mut self.tiers[index];
        tier.requests -= 1;
        tier.tokens -= u64::from(row.prompt);
        tier.bytes -= row.bytes;
        self.flows[flow as usize].waiting -= 1;
        self.flows[flow as usize].waiting_slots -= slots;
        self.step_out(at, band);
        self.let_go(at);
        let tier = &mut self.tiers[index];
        if tier.requests == 0 {
            tier.note_empty(self.board.now);
            self.board.waiting &= !(1 << index);
        }
    }

    /// A row goes up to a more urgent band.
    pub(crate) fn promote(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (tier, band) = (usize::from(row.tier), usize::from(row.band));
        self.step_out(at, band);
        self.rows[at as usize].band = band as u8 - 1;
        self.lift_band(tier, band - 1);
        self.line_up(at, band - 1);
    }

    /// Into the order of a band, without counting it as new.
    pub(crate) fn line_up(&mut self, at: u32, band: usize) {
        let row = &self.rows[at as usize];
        let (tier, flow, slots) = (usize::from(row.tier), row.flow, row.resources.slots);
        let state = &mut self.tiers[tier].bands[band];
        state.requests += 1;
        state.slots += slots;
        state.prefill += row.resources.prefill;
        let state = &mut self.flows[flow as usize];
        heap::insert(&mut Deadlines(self.rows), &mut state.heads[band], at);
        let is_head = state.heads[band] == at;
        if state.is_parked(band) && is_head {
            self.resume(flow, band);
        } else if !state.is_parked(band) && !state.is_linked(band) {
            self.link_flow(flow, band);
        }
    }

    pub(crate) fn step_out(&mut self, at: u32, band: usize) {
        let row = &self.rows[at as usize];
        let (tier, flow, slots) = (usize::from(row.tier), row.flow, row.resources.slots);
        let state = &mut self.tiers[tier].bands[band];
        state.requests -= 1;
        state.slots -= slots;
        state.prefill -= row.resources.prefill;
        let state = &mut self.flows[flow as usize];
        let was_head = state.heads[band] == at;
        heap::remove(&mut Deadlines(self.rows), &mut state.heads[band], at);
        if state.is_parked(band) && was_head {
            self.resume(flow, band);
        } else if state.heads[band] == NONE && state.is_linked(band) {
            self.unlink_flow(flow, band);
        }
    }
}
