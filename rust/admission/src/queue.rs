//! The waiting requests of a tier: bands of flows of rows.
//!
//! In a band the flow that was served least goes first; in a flow the row with the earliest
//! deadline, and of equal ones the older.

use super::accounts::FlowsOf;
use super::heap::{self, Elements, NONE, Node};
use super::ledger::Ledger;
use super::row::Row;

/// Rows in the order of their deadlines.
pub(super) struct Deadlines<'a>(pub(super) &'a mut [Row]);

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
    pub(super) fn enqueue(&mut self, at: u32) {
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
    pub(super) fn count_in(&mut self, at: u32) {
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
    pub(super) fn dequeue(&mut self, at: u32) {
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
    pub(super) fn promote(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (tier, band) = (usize::from(row.tier), usize::from(row.band));
        self.step_out(at, band);
        self.rows[at as usize].band = band as u8 - 1;
        self.lift_band(tier, band - 1);
        self.line_up(at, band - 1);
    }

    /// Into the order of a band, without counting it as new.
    pub(super) fn line_up(&mut self, at: u32, band: usize) {
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

    pub(super) fn step_out(&mut self, at: u32, band: usize) {
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

    fn link_flow(&mut self, flow: u32, band: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_linked(band, true);
        let (tier, tenant) = (usize::from(state.tier()), state.tenant());
        let weight = self.tenants[tenant as usize].weight;
        let band_state = &mut self.tiers[tier].bands[band];
        band_state.flows += u64::from(weight);
        heap::insert(&mut FlowsOf { flows: self.flows, band }, &mut band_state.root, flow);
    }

    fn unlink_flow(&mut self, flow: u32, band: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_linked(band, false);
        let (tier, tenant) = (usize::from(state.tier()), state.tenant());
        let weight = self.tenants[tenant as usize].weight;
        let band_state = &mut self.tiers[tier].bands[band];
        // A weight may have changed since: the sum only guides estimates.
        band_state.flows = band_state.flows.saturating_sub(u64::from(weight));
        heap::remove(&mut FlowsOf { flows: self.flows, band }, &mut band_state.root, flow);
    }

    /// Changes what a flow was served, wherever it stands.
    pub(super) fn serve_flow(&mut self, flow: u32, change: impl FnOnce(u64) -> u64) {
        let linked: [bool; super::tier::BANDS] =
            std::array::from_fn(|band| self.flows[flow as usize].is_linked(band));
        for (band, _) in linked.iter().enumerate().filter(|(_, linked)| **linked) {
            self.unlink_flow(flow, band);
        }
        let service = &mut self.flows[flow as usize].service;
        *service = change(*service);
        for (band, _) in linked.iter().enumerate().filter(|(_, linked)| **linked) {
            self.link_flow(flow, band);
        }
    }

    /// Takes a flow whose head waits for its own tenant's limit out of a band's order, until that
    /// tenant has room or another is its head.
    pub(super) fn park(&mut self, flow: u32, band: usize) {
        self.unlink_flow(flow, band);
        let state = &mut self.flows[flow as usize];
        state.set_parked(band, true);
        self.tenants[state.tenant() as usize].parked += 1;
    }

    /// Puts a parked flow back.
    fn resume(&mut self, flow: u32, band: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_parked(band, false);
        self.tenants[state.tenant() as usize].parked -= 1;
        if state.heads[band] != NONE {
            self.link_flow(flow, band);
        }
    }

    /// The tenant has room again: its flows may go on.
    pub(super) fn unpark(&mut self, tenant: u32) {
        for tier in 0..self.tiers.len() {
            if self.tenants[tenant as usize].parked == 0 {
                return;
            }
            let Some(flow) = self.find_flow(tenant, tier as u16) else { continue };
            for band in 0..super::tier::BANDS {
                if self.flows[flow as usize].is_parked(band) {
                    self.resume(flow, band);
                }
            }
        }
    }
}
