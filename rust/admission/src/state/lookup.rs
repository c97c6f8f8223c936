//! Finds tenants and flows, and makes room for new ones.

use super::caps::CapKind;
use super::flow::Flow;
use super::ledger::Ledger;
use super::table::Table;
use super::tenant::{TenantState, UNKNOWN_KEY};
use crate::api::ids::TierIndex;
use crate::api::offer::Tenant;

impl Ledger<'_> {
    /// The tenant's place; 0 if there is none for it.
    pub(crate) fn tenant(&mut self, tenant: &Tenant) -> u32 {
        let found = self.find_tenant(tenant).or_else(|| {
            let key = tenant.key.max(UNKNOWN_KEY);
            let at = self.globals.tenants.claim(self.tenant_buckets, self.tenants)?;
            self.tenants[at as usize] = TenantState::new(key);
            self.reset_flows(at);
            Table::link(self.tenant_buckets, self.tenants, at);
            Some(at)
        });
        let at = found.unwrap_or(0);
        self.tenants[at as usize].last = self.globals.arrived;
        if at != 0 {
            self.update_tenant(at, tenant);
        }
        at
    }

    /// The weight and the limit of a tenant may change between two requests.
    fn update_tenant(&mut self, at: u32, tenant: &Tenant) {
        self.tenants[at as usize].weight = tenant.weight.max(1);
        let cap = self.caps.get_mut(CapKind::Tenant, at as usize);
        if cap.limit() != tenant.slots {
            cap.set_limit(tenant.slots);
            self.unpark_tenant(at);
        }
    }

    /// A place has a new tenant, who does not inherit what the one before was served.
    fn reset_flows(&mut self, tenant: u32) {
        for tier in 0..self.tiers.len() {
            if let Some(flow) = self.find_flow(tenant, tier as TierIndex) {
                self.flows[flow as usize].service = 0;
            }
        }
    }

    pub(crate) fn find_tenant(&mut self, tenant: &Tenant) -> Option<u32> {
        Table::find(self.tenant_buckets, self.tenants, tenant.key.max(UNKNOWN_KEY))
    }

    /// The flow of a tenant in a tier; that of the unknown if there is no place for it.
    pub(crate) fn flow(&mut self, tenant: u32, tier: TierIndex) -> u32 {
        let key = Flow::key_of(tenant, tier);
        if let Some(at) = Table::find(self.flow_buckets, self.flows, key) {
            return at;
        }
        match self.globals.flows.claim(self.flow_buckets, self.flows) {
            Some(at) => {
                self.flows[at as usize] = Flow::new(tenant, tier);
                Table::link(self.flow_buckets, self.flows, at);
                at
            }
            None => self.find_flow(0, tier).unwrap_or(0),
        }
    }

    pub(crate) fn find_flow(&mut self, tenant: u32, tier: TierIndex) -> Option<u32> {
        Table::find(self.flow_buckets, self.flows, Flow::key_of(tenant, tier))
    }
}
