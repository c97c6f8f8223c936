//! The cost of requests, and the service counters of flow, priority and tier that it is added to.

use crate::state::ledger::Ledger;

/// Resolution of the service counters.
const SCALE: u64 = 1000;

impl Ledger<'_> {
    /// Adds the estimated cost of a row, at its grant.
    pub(crate) fn add_cost(&mut self, at: u32, cost: u64) {
        let row = &mut self.rows[at as usize];
        row.cost = cost;
        let (tier, priority) = (usize::from(row.tier), usize::from(row.priority));
        let (flow, tenant) = (row.flow, row.tenant as usize);
        let weight = u64::from(self.tenants[tenant].weight);
        self.tenants[tenant].cost += cost;
        let state = &mut self.tiers[tier];
        state.flow_clock = state.flow_clock.max(self.flows[flow as usize].service);
        let priority_state = &mut state.priorities[priority];
        state.priority_clock = state.priority_clock.max(priority_state.service);
        priority_state.service += cost * SCALE / u64::from(priority_state.weight);
        let (group, service) = (state.group as usize, state.service);
        state.service += cost * SCALE / u64::from(state.share);
        let clock = &mut self.tiers[group].group_clock;
        *clock = service.max(*clock);
        self.update_service(flow, |service| service + cost * SCALE / weight);
    }

    /// Replaces the cost of a row by a better one.
    pub(crate) fn correct_cost(&mut self, at: u32, cost: u64) {
        let row = &mut self.rows[at as usize];
        let before = std::mem::replace(&mut row.cost, cost);
        let (tier, priority) = (usize::from(row.tier), usize::from(row.priority));
        let (flow, tenant) = (row.flow, row.tenant as usize);
        let corrected = |service: u64, weight: u64| {
            (service + cost * SCALE / weight).saturating_sub(before * SCALE / weight)
        };
        let weight = u64::from(self.tenants[tenant].weight);
        let total = &mut self.tenants[tenant].cost;
        *total = (*total + cost).saturating_sub(before);
        let state = &mut self.tiers[tier];
        let priority_state = &mut state.priorities[priority];
        priority_state.service =
            corrected(priority_state.service, u64::from(priority_state.weight));
        state.service = corrected(state.service, u64::from(state.share));
        self.update_service(flow, |service| corrected(service, weight));
    }
}
