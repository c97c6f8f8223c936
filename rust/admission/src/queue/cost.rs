//! What requests cost, and who is charged for it.

use crate::state::ledger::Ledger;

/// Resolution of the service counters.
const SCALE: u64 = 1000;

impl Ledger<'_> {
    /// Charges a row's flow, band and tier for what it is about to cost.
    pub(crate) fn charge(&mut self, at: u32, cost: u64) {
        let row = &mut self.rows[at as usize];
        row.charged = cost;
        let (tier, band) = (usize::from(row.tier), usize::from(row.band));
        let (flow, tenant) = (row.flow, row.tenant as usize);
        let weight = u64::from(self.tenants[tenant].weight);
        self.tenants[tenant].charged += cost;
        let state = &mut self.tiers[tier];
        state.flow_clock = state.flow_clock.max(self.flows[flow as usize].service);
        let band_state = &mut state.bands[band];
        state.band_clock = state.band_clock.max(band_state.service);
        band_state.service += cost * SCALE / u64::from(band_state.weight);
        let (group, service) = (state.group as usize, state.service);
        state.service += cost * SCALE / u64::from(state.share);
        let clock = &mut self.tiers[group].group_clock;
        *clock = service.max(*clock);
        self.serve_flow(flow, |service| service + cost * SCALE / weight);
    }

    /// Corrects what was charged by what it has really cost.
    pub(crate) fn settle_charge(&mut self, at: u32, cost: u64) {
        let row = &mut self.rows[at as usize];
        let before = std::mem::replace(&mut row.charged, cost);
        let (tier, band) = (usize::from(row.tier), usize::from(row.band));
        let (flow, tenant) = (row.flow, row.tenant as usize);
        let corrected = |service: u64, weight: u64| {
            (service + cost * SCALE / weight).saturating_sub(before * SCALE / weight)
        };
        let weight = u64::from(self.tenants[tenant].weight);
        let charged = &mut self.tenants[tenant].charged;
        *charged = (*charged + cost).saturating_sub(before);
        let state = &mut self.tiers[tier];
        let band_state = &mut state.bands[band];
        band_state.service = corrected(band_state.service, u64::from(band_state.weight));
        state.service = corrected(state.service, u64::from(state.share));
        self.serve_flow(flow, |service| corrected(service, weight));
    }
}
