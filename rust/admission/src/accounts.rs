//! Tenants, and their flows: what each has waiting in each tier.
//!
//! Both live in tables of fixed size that are found by hash. Who has nothing waiting or running is
//! forgotten when its place is needed; index 0 stands for everyone whom nobody has named, and for
//! whom no place was found.

use super::heap::{Elements, NONE, Node};
use super::offer::Tenant;
use super::tier::BANDS;
use crate::index::TierIndex;
use crate::shm::plain;

/// Places that are looked at for one that can be taken over. The oldest of 16 is among the older half
/// in all but one case of 60,000.
const LOOKS: u32 = 16;

/// The key of the tenant that stands for everyone: keys are never 0, so that zeroed memory is empty.
pub(super) const UNKNOWN_KEY: u64 = 1;

/// A thing that a [`Directory`] can find.
pub(super) trait Entry {
    /// Never 0: that is a free place.
    fn key(&self) -> u64;
    fn chain(&mut self) -> &mut u32;
    /// Whether nothing would be lost but what it was served.
    fn is_idle(&self) -> bool;
    /// When it was last of use, by any measure that grows.
    fn last_used(&self) -> u64;
}

/// A hash table over a slice of entries, chained through them.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory {
    /// Entries from here on were never used.
    untouched: u32,
    /// Where to look for an idle entry next.
    hand: u32,
}

plain!(Directory);

impl Directory {
    /// Entries that have ever been used: none behind them is.
    pub(super) fn touched(self) -> usize {
        self.untouched as usize
    }

    pub(super) fn find<E: Entry>(buckets: &[u32], entries: &mut [E], key: u64) -> Option<u32> {
        let mut at = buckets[bucket(buckets, key)];
        while at != 0 {
            let entry = &mut entries[at as usize - 1];
            if entry.key() == key {
                return Some(at - 1);
            }
            at = *entry.chain();
        }
        None
    }

    /// A place for a new entry: a fresh one, or of a few idle ones that which was of no use for the
    /// longest time, and is forgotten.
    pub(super) fn place<E: Entry>(
        &mut self,
        buckets: &mut [u32],
        entries: &mut [E],
    ) -> Option<u32> {
        if (self.untouched as usize) < entries.len() {
            self.untouched += 1;
            return Some(self.untouched - 1);
        }
        let count = entries.len() as u32;
        let looks = (0..LOOKS.min(count)).map(|step| (self.hand + step) % count);
        let idle = looks.filter(|&at| entries[at as usize].is_idle());
        let oldest = idle.min_by_key(|&at| entries[at as usize].last_used());
        self.hand = (self.hand + LOOKS) % count;
        let at = oldest?;
        Self::unlink(buckets, entries, at);
        Some(at)
    }

    /// Makes an entry that has been written findable.
    pub(super) fn link<E: Entry>(buckets: &mut [u32], entries: &mut [E], at: u32) {
        let bucket = bucket(buckets, entries[at as usize].key());
        *entries[at as usize].chain() = buckets[bucket];
        buckets[bucket] = at + 1;
    }

    fn unlink<E: Entry>(buckets: &mut [u32], entries: &mut [E], at: u32) {
        let bucket = bucket(buckets, entries[at as usize].key());
        let next = *entries[at as usize].chain();
        if buckets[bucket] == at + 1 {
            buckets[bucket] = next;
            return;
        }
        let mut before = buckets[bucket];
        while before != 0 {
            let chain = entries[before as usize - 1].chain();
            if *chain == at + 1 {
                *chain = next;
                return;
            }
            before = *chain;
        }
    }

    /// Makes the table anew from the entries alone.
    pub(super) fn rebuild<E: Entry>(&mut self, buckets: &mut [u32], entries: &mut [E]) {
        buckets.fill(0);
        self.untouched = 0;
        for at in 0..entries.len() as u32 {
            if entries[at as usize].key() != 0 {
                Self::link(buckets, entries, at);
                self.untouched = at + 1;
            }
        }
    }
}

fn bucket(buckets: &[u32], key: u64) -> usize {
    // Fibonacci hashing: the high bits of the product are well mixed.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % buckets.len()
}

/// One tenant, over all tiers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct TenantState {
    key: u64,
    chain: u32,
    pub(super) limit: u32,
    pub(super) weight: u32,
    /// Slots in use.
    pub(super) used: u32,
    /// Requests that wait or run.
    pub(super) requests: u32,
    /// Flows, by band, whose heads wait for this tenant's own limit.
    pub(super) parked: u32,
    /// Cost units charged and settled.
    pub(super) charged: u64,
    /// Its last request, by the order of arrival over all.
    pub(super) last: u64,
}

plain!(TenantState);

impl TenantState {
    pub(super) fn new(key: u64) -> Self {
        TenantState {
            key,
            chain: 0,
            limit: u32::MAX,
            weight: 1,
            used: 0,
            requests: 0,
            parked: 0,
            charged: 0,
            last: 0,
        }
    }

    /// What is known of a tenant may change between two requests. Returns whether its limit has.
    pub(super) fn update(&mut self, tenant: &Tenant) -> bool {
        let limit = tenant.slots.unwrap_or(u32::MAX);
        self.weight = tenant.weight.max(1);
        std::mem::replace(&mut self.limit, limit) != limit
    }

    pub(super) fn has_room(&self, slots: u32) -> bool {
        self.used.saturating_add(slots) <= self.limit
    }
}

impl Entry for TenantState {
    fn key(&self) -> u64 {
        self.key
    }
    fn chain(&mut self) -> &mut u32 {
        &mut self.chain
    }
    fn is_idle(&self) -> bool {
        self.requests == 0 && self.key != UNKNOWN_KEY
    }
    fn last_used(&self) -> u64 {
        self.last
    }
}

/// What one tenant has waiting in one tier.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    key: u64,
    chain: u32,
    /// Bit by band: whether it is in that band's heap.
    linked: u16,
    /// Bit by band: whether it is kept out of that heap, because its head waits for its own tenant.
    parked: u16,
    /// Requests of it that wait or run.
    pub(super) requests: u32,
    pub(super) waiting: u32,
    pub(super) waiting_slots: u32,
    /// Heaps of its rows, the earliest deadline first.
    pub(super) heads: [u32; BANDS],
    nodes: [Node; BANDS],
    /// Cost units served, over the weight (VTC, arXiv 2401.00588).
    pub(super) service: u64,
}

plain!(Flow);

impl Flow {
    pub(super) fn key_of(tenant: u32, tier: TierIndex) -> u64 {
        (u64::from(tenant) << 16 | u64::from(tier)) + 1
    }

    pub(super) fn new(tenant: u32, tier: TierIndex) -> Self {
        Flow {
            key: Self::key_of(tenant, tier),
            chain: 0,
            linked: 0,
            parked: 0,
            requests: 0,
            waiting: 0,
            waiting_slots: 0,
            heads: [NONE; BANDS],
            nodes: [Node::ALONE; BANDS],
            service: 0,
        }
    }

    /// Of an entry that was in use: all but who it is and what it was served.
    pub(super) fn empty(&mut self) {
        *self = Flow { service: self.service, ..Flow::new(self.tenant(), self.tier()) };
    }

    pub(super) fn tier(&self) -> TierIndex {
        (self.key - 1) as TierIndex
    }

    pub(super) fn is_used(&self) -> bool {
        self.key != 0
    }

    pub(super) fn tenant(&self) -> u32 {
        ((self.key - 1) >> 16) as u32
    }

    pub(super) fn is_linked(&self, band: usize) -> bool {
        self.linked & 1 << band != 0
    }

    pub(super) fn set_linked(&mut self, band: usize, linked: bool) {
        self.linked = self.linked & !(1 << band) | u16::from(linked) << band;
    }

    pub(super) fn is_parked(&self, band: usize) -> bool {
        self.parked & 1 << band != 0
    }

    pub(super) fn set_parked(&mut self, band: usize, parked: bool) {
        self.parked = self.parked & !(1 << band) | u16::from(parked) << band;
    }
}

impl Entry for Flow {
    fn key(&self) -> u64 {
        self.key
    }
    fn chain(&mut self) -> &mut u32 {
        &mut self.chain
    }
    fn is_idle(&self) -> bool {
        self.requests == 0 && self.tenant() != 0
    }
    /// A flow's place is worth nothing to it.
    fn last_used(&self) -> u64 {
        0
    }
}

/// The flows of one band, ordered by what they were served.
pub(super) struct FlowsOf<'a> {
    pub(super) flows: &'a mut [Flow],
    pub(super) band: usize,
}

impl Elements for FlowsOf<'_> {
    fn node(&self, at: u32) -> &Node {
        &self.flows[at as usize].nodes[self.band]
    }
    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.flows[at as usize].nodes[self.band]
    }
    fn is_before(&self, one: u32, other: u32) -> bool {
        let key = |at: u32| (self.flows[at as usize].service, at);
        key(one) < key(other)
    }
}
