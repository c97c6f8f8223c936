//! Which backends probably have a prompt's beginning in their prefix cache.
//!
//! A lossy table of fixed size in the segment, read and written by every worker without a lock. A torn
//! write never gives one key's data for another's: an entry holds its key XOR its data, so that halves of
//! two writes do not match (R. Hyatt and T. Mann, "A lock-less transposition table", 2002).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::api::ids::BackendIndex;
use crate::api::offer::MAX_CANDIDATES;
use crate::shm::{Layout, Open, Region, plain};

/// Bytes of prompt in a block: about the tokens of one or two cache blocks of an engine.
const BLOCK: usize = 256;
/// Blocks of a prompt that are looked up at most.
const MOST_BLOCKS: usize = 256;
/// Entries of a bucket: one cache line.
const WAYS: usize = 4;
/// Blocks that the KV cache of a backend holds, roughly: 500,000 tokens at 64 a block.
const BLOCKS_OF_BACKEND: usize = 8192;
const MOST_ENTRIES: usize = 1 << 21;

#[repr(C)]
#[derive(Debug)]
struct Entry {
    check: AtomicU64,
    /// Four backends, the most recent first. Each is its index and its generation, one byte each.
    data: AtomicU64,
}

plain!(Entry);

/// Where the index lies in a segment.
#[derive(Debug, Clone, Copy)]
pub struct PrefixParts {
    entries: Open<Entry>,
    mask: usize,
}

impl PrefixParts {
    pub fn add(layout: &mut Layout, backends: usize) -> Self {
        let entries = (backends * BLOCKS_OF_BACKEND).next_power_of_two().min(MOST_ENTRIES);
        PrefixParts { entries: layout.open(entries), mask: entries / WAYS - 1 }
    }
}

/// How much of a prompt a backend has processed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    pub backend: BackendIndex,
    /// Bytes from the beginning of the prompt.
    pub bytes: usize,
}

/// The blocks of one prompt. Each hash covers everything up to the end of its block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocks(Vec<u64>);

impl Blocks {
    /// From the pieces of a prompt, in the order in which the engine renders them.
    pub fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hashes = Vec::new();
        let mut hash = 0x5bd1_e995_9d1b_58d3;
        for piece in pieces {
            for block in piece.chunks_exact(BLOCK).take(MOST_BLOCKS - hashes.len()) {
                hash = chain(hash, block);
                hashes.push(hash);
            }
        }
        Blocks(hashes)
    }

    /// A name (of a session) that routes requests to one backend as a common beginning does.
    pub fn of_name(name: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        let length = name.len().min(BLOCK);
        block[..length].copy_from_slice(&name[..length]);
        Blocks(vec![chain(name.len() as u64 ^ 0x9ddf_ea08_eb38_2d69, &block)])
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn chain(mut hash: u64, block: &[u8]) -> u64 {
    for word in block.chunks_exact(8) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash
}

#[derive(Debug, Clone)]
pub struct PrefixIndex {
    region: Arc<Region>,
    parts: PrefixParts,
}

impl PrefixIndex {
    pub fn new(region: Arc<Region>, parts: PrefixParts) -> Self {
        PrefixIndex { region, parts }
    }

    /// The backends that have processed most of a prompt, best first. `generation` gives the current
    /// generation of a backend: what an earlier one has processed is lost.
    pub fn find(&self, blocks: &Blocks, generation: impl Fn(BackendIndex) -> u8) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        // Each block implies all blocks before it, so the last hit counts.
        for (at, &key) in blocks.0.iter().enumerate().rev() {
            for (backend, its_generation) in self.load(key) {
                let is_new = hits.iter().all(|hit| hit.backend != backend);
                if is_new && its_generation == generation(backend) {
                    hits.push(Hit { backend, bytes: (at + 1) * BLOCK });
                }
            }
            if hits.len() >= MAX_CANDIDATES {
                break;
            }
        }
        hits
    }

    /// A backend is about to process a prompt.
    pub fn insert(&self, blocks: &Blocks, backend: BackendIndex, generation: u8) {
        let own = u64::from(backend) | u64::from(generation) << 8;
        for &key in &blocks.0 {
            let entry = self.entry_for(key);
            let before = entry.data_of(key).unwrap_or(0);
            // Moves the backend to the front; the oldest of four is dropped.
            let mut data = own;
            let mut filled = 1;
            for other in (0..WAYS).map(|way| before >> (16 * way) & 0xffff) {
                if other != 0 && other & 0xff != own & 0xff && filled < WAYS {
                    data |= other << (16 * filled);
                    filled += 1;
                }
            }
            entry.data.store(data, Ordering::Relaxed);
            entry.check.store(key ^ data, Ordering::Relaxed);
        }
    }

    fn load(&self, key: u64) -> impl Iterator<Item = (BackendIndex, u8)> + use<> {
        let found = self.bucket(key).iter().find_map(|entry| entry.data_of(key)).unwrap_or(0);
        (0..WAYS)
            .map(move |way| found >> (16 * way))
            .filter(|pair| pair & 0xffff != 0)
            .map(|pair| (BackendIndex::from(pair as u8), (pair >> 8) as u8))
    }

    /// The entry of a key, or one that it may overwrite.
    fn entry_for(&self, key: u64) -> &Entry {
        let bucket = self.bucket(key);
        let own = bucket.iter().find(|entry| entry.data_of(key).is_some());
        let empty = || bucket.iter().find(|entry| entry.data.load(Ordering::Relaxed) == 0);
        own.or_else(empty).unwrap_or(&bucket[(key >> 40) as usize % WAYS])
    }

    fn bucket(&self, key: u64) -> &[Entry] {
        let at = (key as usize & self.parts.mask) * WAYS;
        &self.region.open(self.parts.entries)[at..at + WAYS]
    }
}

impl Entry {
    fn data_of(&self, key: u64) -> Option<u64> {
        let data = self.data.load(Ordering::Relaxed);
        let is_own = data != 0 && self.check.load(Ordering::Relaxed) == key ^ data;
        is_own.then_some(data)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{BLOCK, Blocks, Hit, PrefixIndex, PrefixParts};
    use crate::shm::{Layout, Region};

    fn index() -> PrefixIndex {
        let mut layout = Layout::new();
        let parts = PrefixParts::add(&mut layout, 4);
        PrefixIndex::new(Arc::new(Region::on_heap(&layout)), parts)
    }

    fn prompt(blocks: usize, seed: u8) -> Vec<u8> {
        (0..blocks * BLOCK + 17).map(|at| (at / 7) as u8 ^ seed).collect()
    }

    #[test]
    fn finds_the_longest_beginning_of_each_backend() {
        let index = index();
        let long = prompt(10, 0);
        let short = [&long[..4 * BLOCK], &prompt(3, 9)].concat();
        index.insert(&Blocks::of([&long[..]]), 2, 1);
        index.insert(&Blocks::of([&short[..]]), 3, 1);
        let hits = index.find(&Blocks::of([&long[..]]), |_| 1);
        let hit = |backend, blocks: usize| Hit { backend, bytes: blocks * BLOCK };
        assert_eq!(hits, [hit(2, 10), hit(3, 4)]);
        assert_eq!(index.find(&Blocks::of([&prompt(5, 77)[..]]), |_| 1), []);
        assert_eq!(index.find(&Blocks::of([&long[..100]]), |_| 1), [], "less than a block");
    }

    #[test]
    fn a_restarted_backend_has_no_prefix() {
        let index = index();
        let blocks = Blocks::of([&prompt(3, 0)[..]]);
        index.insert(&blocks, 2, 1);
        assert_eq!(index.find(&blocks, |_| 2), []);
        index.insert(&blocks, 2, 2);
        assert_eq!(index.find(&blocks, |_| 2).len(), 1);
    }

    #[test]
    fn keeps_the_latest_four_of_a_block() {
        let index = index();
        let blocks = Blocks::of([&prompt(1, 0)[..]]);
        for backend in [1, 2, 3, 4, 5, 2] {
            index.insert(&blocks, backend, 1);
        }
        let order: Vec<u16> = index.find(&blocks, |_| 1).iter().map(|hit| hit.backend).collect();
        assert_eq!(order, [2, 5, 4, 3]);
    }

    #[test]
    fn two_pieces_are_one_prompt_and_names_are_no_prompts() {
        let tools = prompt(2, 1);
        let one = Blocks::of([&tools[..2 * BLOCK], &prompt(2, 2)[..]]);
        let other = Blocks::of([&tools[..2 * BLOCK], &prompt(2, 3)[..]]);
        assert_eq!(one.0[..2], other.0[..2]);
        assert_ne!(one.0[2], other.0[2]);
        assert_ne!(Blocks::of_name(b"a"), Blocks::of_name(b"b"));
        assert_ne!(Blocks::of_name(b"a"), Blocks::of_name(b"a\0"));
    }
}
