//! What really runs, counted by the backends.

use std::sync::atomic::{AtomicU64, Ordering};

/// Slots of backend 0, of backend 1, of their node, of tier 1, and of the tenant with a limit.
pub const LIMITS: [u64; 5] = [4, 3, 6, 2, 2];
pub const WORDS: usize = 2 * LIMITS.len() + 1;

/// Generations of workers that may have requests at the backends at once: the living, and the dead whose
/// requests have not ended yet.
pub const LANES: usize = 8;

/// For each limit, what runs under it. A word has a byte for each generation, so that one atomic operation
/// counts a request and sees all others at that moment; a death between two operations leaves nothing half
/// counted.
#[derive(Clone, Copy)]
pub struct Backends<'a> {
    running: &'a [AtomicU64],
    peaks: &'a [AtomicU64],
    started: &'a AtomicU64,
}

/// Which limits a request counts under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Under([bool; LIMITS.len()]);

impl Under {
    pub fn new(backend: u16, tier: u16, is_limited: bool) -> Self {
        Under([backend == 0, backend == 1, true, tier == 1, is_limited])
    }
}

impl<'a> Backends<'a> {
    /// Over [`WORDS`] words.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        let (running, rest) = words.split_at(LIMITS.len());
        let (peaks, started) = rest.split_at(LIMITS.len());
        Backends { running, peaks, started: &started[0] }
    }

    /// A request begins. Returns whether all limits hold.
    #[must_use]
    pub fn start(self, lane: usize, under: Under, slots: u64) -> bool {
        self.started.fetch_add(1, Ordering::Relaxed);
        let mut holds = true;
        for at in (0..LIMITS.len()).filter(|&at| under.0[at]) {
            let before = self.running[at].fetch_add(slots << (8 * lane), Ordering::SeqCst);
            let total = sum(before) + slots;
            self.peaks[at].fetch_max(total, Ordering::Relaxed);
            holds &= total <= LIMITS[at];
        }
        holds
    }

    pub fn stop(self, lane: usize, under: Under, slots: u64) {
        for at in (0..LIMITS.len()).filter(|&at| under.0[at]) {
            self.running[at].fetch_sub(slots << (8 * lane), Ordering::SeqCst);
        }
    }

    /// The backends have noticed the death of a worker.
    pub fn stop_all(self, lane: usize) {
        for running in self.running {
            running.fetch_and(!(0xff << (8 * lane)), Ordering::SeqCst);
        }
    }

    pub fn are_idle(self) -> bool {
        self.running.iter().all(|running| running.load(Ordering::SeqCst) == 0)
    }

    /// The most that ran under each limit at once.
    pub fn peaks(self) -> [u64; LIMITS.len()] {
        std::array::from_fn(|at| self.peaks[at].load(Ordering::Relaxed))
    }

    pub fn started(self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }
}

fn sum(lanes: u64) -> u64 {
    lanes.to_ne_bytes().into_iter().map(u64::from).sum()
}
