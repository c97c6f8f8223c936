//! Finds tenants and flows, and makes room for new ones.
//!
//! Two tenants stand for many. All requests without a name belong to [`UNKNOWN`], which has no limits of
//! its own. A named tenant whose requests wait or run, or that has a limit, is never evicted. When the
//! table is full of those, further names share [`OVERFLOW`] and the limits of a single tenant: a client
//! that invents names gains nothing.

use super::caps::CapKind;
use super::flow::Flow;
use super::ledger::Ledger;
use super::table::Table;
use super::tenant::{OVERFLOW, OVERFLOW_KEY, TenantState, UNKNOWN, UNKNOWN_KEY};
use crate::api::ids::TierIndex;
use crate::api::offer::Tenant;

impl Ledger<'_> {
    /// Makes the tenants that stand for many, and their flows.
    pub(crate) fn begin_tenants(&mut self) {
        for (at, key) in [(UNKNOWN, UNKNOWN_KEY), (OVERFLOW, OVERFLOW_KEY)] {
            assert_eq!(self.insert_tenant(key), Some(at));
            for tier in 0..self.tiers.len() {
                self.flow(at, tier as TierIndex);
            }
        }
    }

    /// The place of a tenant.
    pub(crate) fn tenant(&mut self, tenant: &Tenant) -> u32 {
        let found = self.find_tenant(tenant).or_else(|| self.insert_tenant(tenant.key));
        let at = found.unwrap_or(OVERFLOW);
        self.tenants[at as usize].last = self.globals.arrived;
        match at {
            UNKNOWN => {}
            OVERFLOW => self.update_overflow(tenant),
            _ => {
                self.tenants[at as usize].weight = tenant.weight.max(1);
                self.limit_tenant(at, tenant.slots);
            }
        }
        at
    }

    fn insert_tenant(&mut self, key: u64) -> Option<u32> {
        let at = self.globals.tenants.claim(&mut self.tenant_buckets, &mut self.tenants)?;
        self.tenants[at as usize] = TenantState::new(key);
        self.reset_flows(at);
        Table::link(&mut self.tenant_buckets, &mut self.tenants, at);
        Some(at)
    }

    /// One more name shares the overflow tenant. The least limit of all that share it applies.
    fn update_overflow(&mut self, tenant: &Tenant) {
        let shared = self.tenants[OVERFLOW as usize].requests > 0;
        let before = self.caps.get(CapKind::Tenant, OVERFLOW as usize).limit().filter(|_| shared);
        let least = [before, tenant.slots].into_iter().flatten().min();
        self.limit_tenant(OVERFLOW, least);
    }

    /// The limit of a tenant may change between two requests.
    fn limit_tenant(&mut self, at: u32, slots: Option<u32>) {
        self.tenants[at as usize].limited = u32::from(slots.is_some());
        let cap = self.caps.get_mut(CapKind::Tenant, at as usize);
        if cap.limit() != slots {
            cap.set_limit(slots);
            self.unpark_tenant(at);
        }
    }

    /// A new tenant in a reused place does not inherit the service of the one before.
    fn reset_flows(&mut self, tenant: u32) {
        for tier in 0..self.tiers.len() {
            if let Some(flow) = self.find_flow(tenant, tier as TierIndex) {
                self.flows[flow as usize].service = 0;
            }
        }
    }

    pub(crate) fn find_tenant(&mut self, tenant: &Tenant) -> Option<u32> {
        Table::find(&self.tenant_buckets, &self.tenants, tenant.key.max(UNKNOWN_KEY))
    }

    /// The flow of a tenant in a tier; that of the overflow tenant if there is no place for it.
    pub(crate) fn flow(&mut self, tenant: u32, tier: TierIndex) -> u32 {
        let key = Flow::key_of(tenant, tier);
        if let Some(at) = Table::find(&self.flow_buckets, &self.flows, key) {
            return at;
        }
        match self.globals.flows.claim(&mut self.flow_buckets, &mut self.flows) {
            Some(at) => {
                self.flows[at as usize] = Flow::new(tenant, tier);
                Table::link(&mut self.flow_buckets, &mut self.flows, at);
                at
            }
            None => self.find_flow(OVERFLOW, tier).unwrap_or(0),
        }
    }

    pub(crate) fn find_flow(&mut self, tenant: u32, tier: TierIndex) -> Option<u32> {
        Table::find(&self.flow_buckets, &self.flows, Flow::key_of(tenant, tier))
    }
}
