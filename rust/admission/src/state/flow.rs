//! The waiting requests of one tenant in one tier.

use super::heap::{Elements, NONE, Node};
use super::table::Entry;
use super::tenant::OVERFLOW;
use crate::api::ids::TierIndex;
use crate::api::offer::PRIORITIES;
use crate::shm::plain;

/// The waiting requests of one tenant in one tier.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    key: u64,
    chain: u32,
    /// Bit by priority: whether it is in that priority's heap.
    linked: u16,
    /// Bit by priority: whether it is kept out of that heap, because its first row waits for its tenant's
    /// limit.
    parked: u16,
    /// Requests of it that wait or run.
    pub(crate) requests: u32,
    pub(crate) waiting: u32,
    pub(crate) waiting_slots: u32,
    /// Heaps of its rows, the earliest deadline first.
    pub(crate) heads: [u32; PRIORITIES],
    nodes: [Node; PRIORITIES],
    /// Cost units served, divided by the weight (VTC, arXiv 2401.00588).
    pub(crate) service: u64,
}

plain!(Flow);

impl Flow {
    pub(crate) fn key_of(tenant: u32, tier: TierIndex) -> u64 {
        (u64::from(tenant) << 16 | u64::from(tier)) + 1
    }

    pub(crate) fn new(tenant: u32, tier: TierIndex) -> Self {
        Flow {
            key: Self::key_of(tenant, tier),
            chain: 0,
            linked: 0,
            parked: 0,
            requests: 0,
            waiting: 0,
            waiting_slots: 0,
            heads: [NONE; PRIORITIES],
            nodes: [Node::ALONE; PRIORITIES],
            service: 0,
        }
    }

    /// Clears all but the key and the service.
    pub(crate) fn clear(&mut self) {
        *self = Flow { service: self.service, ..Flow::new(self.tenant(), self.tier()) };
    }

    pub(crate) fn tier(&self) -> TierIndex {
        (self.key - 1) as TierIndex
    }

    pub(crate) fn is_used(&self) -> bool {
        self.key != 0
    }

    pub(crate) fn tenant(&self) -> u32 {
        ((self.key - 1) >> 16) as u32
    }

    pub(crate) fn is_linked(&self, priority: usize) -> bool {
        self.linked & 1 << priority != 0
    }

    pub(crate) fn set_linked(&mut self, priority: usize, linked: bool) {
        self.linked = self.linked & !(1 << priority) | u16::from(linked) << priority;
    }

    pub(crate) fn is_parked(&self, priority: usize) -> bool {
        self.parked & 1 << priority != 0
    }

    pub(crate) fn set_parked(&mut self, priority: usize, parked: bool) {
        self.parked = self.parked & !(1 << priority) | u16::from(parked) << priority;
    }
}

impl Entry for Flow {
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
        self.requests == 0 && self.tenant() > OVERFLOW
    }
    /// Any idle flow may be evicted.
    fn last_used(&self) -> u64 {
        0
    }
}

/// The flows of one priority, the least served first.
pub(crate) struct FlowsOf<'a> {
    pub(crate) flows: &'a mut [Flow],
    pub(crate) priority: usize,
}

impl Elements for FlowsOf<'_> {
    fn node(&self, at: u32) -> &Node {
        &self.flows[at as usize].nodes[self.priority]
    }
    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.flows[at as usize].nodes[self.priority]
    }
    fn is_before(&self, one: u32, other: u32) -> bool {
        let key = |at: u32| (self.flows[at as usize].service, at);
        key(one) < key(other)
    }
}
