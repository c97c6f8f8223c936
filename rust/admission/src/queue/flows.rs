//! The order of the flows in a band.

use crate::api::offer::BANDS;
use crate::state::flow::FlowsOf;
use crate::state::heap::{self, NONE};
use crate::state::ledger::Ledger;

impl Ledger<'_> {
    pub(crate) fn link_flow(&mut self, flow: u32, band: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_linked(band, true);
        let (tier, tenant) = (usize::from(state.tier()), state.tenant());
        let weight = self.tenants[tenant as usize].weight;
        let band_state = &mut self.tiers[tier].bands[band];
        band_state.flows += u64::from(weight);
        heap::insert(&mut FlowsOf { flows: self.flows, band }, &mut band_state.root, flow);
    }

    pub(crate) fn unlink_flow(&mut self, flow: u32, band: usize) {
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
    pub(crate) fn serve_flow(&mut self, flow: u32, change: impl FnOnce(u64) -> u64) {
        let linked: [bool; BANDS] =
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
    pub(crate) fn park(&mut self, flow: u32, band: usize) {
        self.unlink_flow(flow, band);
        let state = &mut self.flows[flow as usize];
        state.set_parked(band, true);
        self.tenants[state.tenant() as usize].parked += 1;
    }

    /// Puts a parked flow back.
    pub(crate) fn resume(&mut self, flow: u32, band: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_parked(band, false);
        self.tenants[state.tenant() as usize].parked -= 1;
        if state.heads[band] != NONE {
            self.link_flow(flow, band);
        }
    }

    /// The tenant has room again: its flows may go on.
    pub(crate) fn unpark(&mut self, tenant: u32) {
        for tier in 0..self.tiers.len() {
            if self.tenants[tenant as usize].parked == 0 {
                return;
            }
            let Some(flow) = self.find_flow(tenant, tier as u16) else { continue };
            for band in 0..BANDS {
                if self.flows[flow as usize].is_parked(band) {
                    self.resume(flow, band);
                }
            }
        }
    }
}
