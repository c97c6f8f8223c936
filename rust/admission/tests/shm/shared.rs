//! The region that the tests share with their children.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use penstock_admission::shm::{Found, Guard, Layout, Locked, Open, Region};
use penstock_testing::fork::{Child, until};

/// How long a test waits for a lock that it must not get.
pub const SHORT: Duration = Duration::from_millis(20);

/// A region for the tests: two words that are always changed together, and marks that processes give each
/// other.
pub struct Shared {
    pub region: Region,
    pub pair: Locked<u64>,
    marks: Open<AtomicU64>,
}

impl Shared {
    pub fn new() -> Self {
        Self::with(|layout| Region::shared(layout, "penstock-test").expect("memory"))
    }

    pub fn on_heap() -> Self {
        Self::with(Region::on_heap)
    }

    fn with(make: impl FnOnce(&Layout) -> Region) -> Self {
        let mut layout = Layout::new();
        let (pair, marks) = (layout.locked(2), layout.open(4));
        Shared { region: make(&layout), pair, marks }
    }

    pub fn pair<'g>(&self, guard: &'g mut Guard<'_>) -> &'g mut [u64] {
        guard.split((self.pair,)).0
    }

    /// Takes the lock, repairs what it finds, and adds one to both words. Returns what it found.
    pub fn add(&self) -> Found {
        let mut guard = self.region.lock();
        let found = guard.found();
        let pair = self.pair(&mut guard);
        match found {
            Found::Clean => assert_eq!(pair[0], pair[1], "a clean lock guards whole changes"),
            Found::Inconsistent => pair[1] = pair[0],
        }
        pair[0] += 1;
        pair[1] += 1;
        guard.repaired();
        found
    }

    /// What the next taker finds; it repairs nothing.
    pub fn state(&self) -> (Found, [u64; 2]) {
        let mut guard = self.region.try_lock(SHORT).expect("the lock is free");
        let pair = self.pair(&mut guard);
        let pair = [pair[0], pair[1]];
        (guard.found(), pair)
    }

    /// The same, without the words.
    pub fn found(&self) -> Found {
        self.state().0
    }

    pub fn mark(&self, at: usize) -> &AtomicU64 {
        &self.region.open(self.marks)[at]
    }

    /// Sets the first mark, for the test to go on.
    pub fn ready(&self) {
        self.mark(0).store(1, Ordering::Release);
    }

    /// Waits until a child has called [`Self::ready`].
    pub fn until_ready(&self) {
        until("the child is ready", || self.mark(0).swap(0, Ordering::Acquire) == 1);
    }

    /// A process that holds the lock for ever, with half a change made.
    pub fn fork_holder(&self) -> Child {
        let child = Child::fork(|| {
            let mut guard = self.region.lock();
            self.pair(&mut guard)[0] += 1;
            self.ready();
            sleep_for_ever();
        });
        self.until_ready();
        child
    }
}

pub fn sleep_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}
