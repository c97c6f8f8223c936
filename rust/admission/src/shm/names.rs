//! Short texts in the segment: one process writes them, all read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::layout::{Layout, Open};
use super::plain::plain;
use super::region::Region;

/// Words of a name; model names are at most 256 bytes (the configuration's bound).
const WORDS: usize = 32;
/// Reads before giving up: a writer that died in the middle leaves a name that is never complete.
const TRIES: usize = 1000;

/// A sequence lock over one name: odd while it is being written.
#[repr(C)]
#[derive(Debug)]
struct Name {
    sequence: AtomicU64,
    length: AtomicU64,
    words: [AtomicU64; WORDS],
}

plain!(Name);

#[derive(Debug, Clone, Copy)]
pub struct NamesParts(Open<Name>);

impl NamesParts {
    pub fn add(layout: &mut Layout, count: usize) -> Self {
        NamesParts(layout.open(count))
    }
}

#[derive(Debug, Clone)]
pub struct Names {
    region: Arc<Region>,
    parts: NamesParts,
}

impl Names {
    pub fn new(region: Arc<Region>, parts: NamesParts) -> Self {
        Names { region, parts }
    }

    /// Changes with every write, so that a reader knows whether its copy is current.
    pub fn version(&self, at: usize) -> u64 {
        self.name(at).sequence.load(Ordering::Acquire)
    }

    /// `None`: not known yet.
    pub fn get(&self, at: usize) -> Option<String> {
        let name = self.name(at);
        for _ in 0..TRIES {
            let before = name.sequence.load(Ordering::Acquire);
            let length = name.length.load(Ordering::Relaxed) as usize;
            let words = name.words.each_ref().map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && name.sequence.load(Ordering::Relaxed) == before {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                let text = String::from_utf8_lossy(&bytes[..length.min(bytes.len())]);
                return (length > 0).then(|| text.into_owned());
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Only one process may write. Longer names are cut.
    pub fn set(&self, at: usize, text: &str) {
        let name = self.name(at);
        // Odd even if an earlier writer has died in the middle.
        let sequence = name.sequence.load(Ordering::Relaxed) | 1;
        name.sequence.store(sequence, Ordering::Relaxed);
        fence(Ordering::Release);
        let mut bytes = [0; WORDS * 8];
        let length = text.len().min(bytes.len());
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        for (word, part) in name.words.iter().zip(bytes.chunks_exact(8)) {
            let mut value = [0; 8];
            value.copy_from_slice(part);
            word.store(u64::from_le_bytes(value), Ordering::Relaxed);
        }
        name.length.store(length as u64, Ordering::Relaxed);
        name.sequence.store(sequence + 1, Ordering::Release);
    }

    fn name(&self, at: usize) -> &Name {
        &self.region.open(self.parts.0)[at]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Names, NamesParts};
    use crate::shm::{Layout, Region};

    #[test]
    fn what_is_written_is_read_and_never_half_of_it() {
        let mut layout = Layout::new();
        let parts = NamesParts::add(&mut layout, 2);
        let names = Names::new(Arc::new(Region::on_heap(&layout)), parts);
        assert_eq!(names.get(1), None);
        let texts = ["a".repeat(256), "b".repeat(3), "Qwen/Qwen3-8B".to_owned()];
        names.set(1, &texts[0]);
        let before = names.version(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..2000 {
                    names.set(1, &texts[round % 3]);
                }
            });
            for _ in 0..2000 {
                if let Some(seen) = names.get(1) {
                    assert!(texts.contains(&seen), "{seen}");
                }
            }
        });
        assert!(names.version(1) > before);
        assert_eq!(names.get(0), None);
    }
}
