//! What admission knows of one tenant.

use super::table::Entry;
use crate::shm::plain;

/// The key of the tenant that stands for all requests without a name. Keys are never 0, so that zeroed memory
/// is an empty table.
pub(crate) const UNKNOWN_KEY: u64 = 1;
/// The key of the tenant that stands for all names that the table has no place for.
pub(crate) const OVERFLOW_KEY: u64 = u64::MAX;

/// The place of the tenant that stands for all requests without a name.
pub(crate) const UNKNOWN: u32 = 0;
/// The place of the tenant that stands for all names without a place of their own.
pub(crate) const OVERFLOW: u32 = 1;

/// One tenant, over all tiers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantState {
    key: u64,
    chain: u32,
    pub(crate) weight: u32,
    /// 1: it has a limit of its own, and is not evicted.
    pub(crate) limited: u32,
    /// Requests that wait or run.
    pub(crate) requests: u32,
    /// Flows, by priority, whose first row waits for this tenant's limit.
    pub(crate) parked: u32,
    /// Cost units so far.
    pub(crate) cost: u64,
    /// Its last request, as a number in the order of arrival.
    pub(crate) last: u64,
}

plain!(TenantState);

impl TenantState {
    pub(crate) fn new(key: u64) -> Self {
        TenantState {
            key,
            chain: 0,
            weight: 1,
            limited: 0,
            requests: 0,
            parked: 0,
            cost: 0,
            last: 0,
        }
    }
}

impl Entry for TenantState {
    fn key(&self) -> u64 {
        self.key
    }
    fn chain(&self) -> u32 {
        self.chain
    }
    fn set_chain(&mut self, next: u32) {
        self.chain = next;
    }
    fn is_idle(&self) -> bool {
        let stands_for_many = matches!(self.key, UNKNOWN_KEY | OVERFLOW_KEY);
        self.requests == 0 && self.limited == 0 && !stands_for_many
    }
    fn last_used(&self) -> u64 {
        self.last
    }
}
