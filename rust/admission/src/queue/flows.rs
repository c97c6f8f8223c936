//! The order of the flows of one priority.

use crate::api::offer::PRIORITIES;
use crate::state::flow::FlowsOf;
use crate::state::heap::{self, NONE};
use crate::state::ledger::Ledger;

impl Ledger<'_> {
    pub(crate) fn link_flow(&mut self, flow: u32, priority: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_linked(priority, true);
        let (tier, tenant) = (usize::from(state.tier()), state.tenant());
        let weight = self.tenants[tenant as usize].weight;
        let priority_state = &mut self.tiers[tier].priorities[priority];
        priority_state.flows += u64::from(weight);
        heap::insert(
            &mut FlowsOf { flows: &mut self.flows, priority },
            &mut priority_state.root,
            flow,
        );
    }

    pub(crate) fn unlink_flow(&mut self, flow: u32, priority: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_linked(priority, false);
        let (tier, tenant) = (usize::from(state.tier()), state.tenant());
        let weight = self.tenants[tenant as usize].weight;
        let priority_state = &mut self.tiers[tier].priorities[priority];
        // The weight may have changed meanwhile: the sum is only used for estimates.
        priority_state.flows = priority_state.flows.saturating_sub(u64::from(weight));
        heap::remove(
            &mut FlowsOf { flows: &mut self.flows, priority },
            &mut priority_state.root,
            flow,
        );
    }

    /// Changes the service counter of a flow, in every heap that it is in.
    pub(crate) fn update_service(&mut self, flow: u32, change: impl FnOnce(u64) -> u64) {
        let linked: [bool; PRIORITIES] =
            std::array::from_fn(|priority| self.flows[flow as usize].is_linked(priority));
        for (priority, _) in linked.iter().enumerate().filter(|(_, linked)| **linked) {
            self.unlink_flow(flow, priority);
        }
        let service = &mut self.flows[flow as usize].service;
        *service = change(*service);
        for (priority, _) in linked.iter().enumerate().filter(|(_, linked)| **linked) {
            self.link_flow(flow, priority);
        }
    }

    /// Takes a flow out of the order of a priority, because its first row waits for its own tenant's limit.
    /// It returns when that tenant has room, or another row is the first.
    pub(crate) fn park_flow(&mut self, flow: u32, priority: usize) {
        self.unlink_flow(flow, priority);
        let state = &mut self.flows[flow as usize];
        state.set_parked(priority, true);
        self.tenants[state.tenant() as usize].parked += 1;
    }

    /// Puts a parked flow back.
    pub(crate) fn unpark_flow(&mut self, flow: u32, priority: usize) {
        let state = &mut self.flows[flow as usize];
        state.set_parked(priority, false);
        self.tenants[state.tenant() as usize].parked -= 1;
        if state.heads[priority] != NONE {
            self.link_flow(flow, priority);
        }
    }

    /// The tenant has room again: puts all its parked flows back.
    pub(crate) fn unpark_tenant(&mut self, tenant: u32) {
        for tier in 0..self.tiers.len() {
            if self.tenants[tenant as usize].parked == 0 {
                return;
            }
            let Some(flow) = self.find_flow(tenant, tier as u16) else { continue };
            for priority in 0..PRIORITIES {
                if self.flows[flow as usize].is_parked(priority) {
                    self.unpark_flow(flow, priority);
                }
            }
        }
    }
}
