//! A hash table of fixed size in shared memory.

use crate::kill_points;
use crate::shm::plain;

/// Entries that are looked at to evict one. The oldest of 16 is among the older half in all but one case of
/// 60,000.
const PROBES: u32 = 16;
/// Rounds of [`PROBES`] before the table counts as full: the lock is held meanwhile.
const MAX_ROUNDS: usize = 16;

/// An element of a [`Table`].
pub(crate) trait Entry {
    /// Never 0: that is an empty place.
    fn key(&self) -> u64;
    /// The next entry of its bucket, counted from 1; 0: there is none.
    fn chain(&self) -> u32;
    fn set_chain(&mut self, next: u32);
    /// Whether it may be evicted.
    fn is_idle(&self) -> bool;
    /// When it was last used, by any measure that grows.
    fn last_used(&self) -> u64;
}

/// A hash table over a slice, chained through its entries.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// Entries from here on were never used.
    high_water: u32,
    /// Where the next search for an idle entry begins.
    hand: u32,
}

plain!(Table);

impl Table {
    /// Number of entries that were ever used.
    pub(crate) fn high_water(self) -> usize {
        self.high_water as usize
    }

    pub(crate) fn find<E: Entry>(buckets: &[u32], entries: &[E], key: u64) -> Option<u32> {
        let mut at = buckets[bucket(buckets, key)];
        while at != 0 {
            let entry = &entries[at as usize - 1];
            if entry.key() == key {
                return Some(at - 1);
            }
            at = entry.chain();
        }
        None
    }

    /// A place for a new entry: an unused one, or the least recently used of a few idle ones, which is
    /// evicted.
    pub(crate) fn claim<E: Entry>(
        &mut self,
        buckets: &mut [u32],
        entries: &mut [E],
    ) -> Option<u32> {
        if (self.high_water as usize) < entries.len() {
            self.high_water += 1;
            return Some(self.high_water - 1);
        }
        let count = entries.len() as u32;
        for _ in 0..MAX_ROUNDS {
            let probes = (0..PROBES.min(count)).map(|step| (self.hand + step) % count);
            let idle = probes.filter(|&at| entries[at as usize].is_idle());
            let oldest = idle.min_by_key(|&at| entries[at as usize].last_used());
            self.hand = (self.hand + PROBES) % count;
            if let Some(at) = oldest {
                Self::unlink(buckets, entries, at);
                return Some(at);
            }
        }
        None
    }

    /// Makes a written entry findable.
    pub(crate) fn link<E: Entry>(buckets: &mut [u32], entries: &mut [E], at: u32) {
        let bucket = bucket(buckets, entries[at as usize].key());
        entries[at as usize].set_chain(buckets[bucket]);
        kill_points::point();
        buckets[bucket] = at + 1;
    }

    fn unlink<E: Entry>(buckets: &mut [u32], entries: &mut [E], at: u32) {
        let bucket = bucket(buckets, entries[at as usize].key());
        let next = entries[at as usize].chain();
        if buckets[bucket] == at + 1 {
            buckets[bucket] = next;
            return;
        }
        let mut before = buckets[bucket];
        while before != 0 {
            let entry = &mut entries[before as usize - 1];
            if entry.chain() == at + 1 {
                entry.set_chain(next);
                return;
            }
            before = entry.chain();
        }
    }

    /// Rebuilds the table from its entries.
    pub(crate) fn rebuild<E: Entry>(&mut self, buckets: &mut [u32], entries: &mut [E]) {
        buckets.fill(0);
        self.high_water = 0;
        for at in 0..entries.len() as u32 {
            if entries[at as usize].key() != 0 {
                Self::link(buckets, entries, at);
                self.high_water = at + 1;
            }
        }
    }
}

fn bucket(buckets: &[u32], key: u64) -> usize {
    // Fibonacci hashing: the high bits of the product are well mixed.
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % buckets.len()
}
