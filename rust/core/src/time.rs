//! Time as the core sees it: handed in, never read.

/// Nanoseconds of a monotonic clock, counted from any fixed moment.
pub type Nanos = u64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub mono: Nanos,
    /// Nanoseconds since 1970, for `date`, `created` and the log only.
    pub unix: Nanos,
}

impl Now {
    pub fn unix_seconds(self) -> u64 {
        self.unix / SECOND
    }
}

/// Seconds as configured, in nanoseconds.
pub fn seconds(value: f64) -> Nanos {
    (value * SECOND as f64) as Nanos
}

/// The same the other way round.
pub fn in_seconds(value: Nanos) -> f64 {
    value as f64 / SECOND as f64
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    due: Nanos,
    key: u32,
}

const SLOTS: usize = 256;

/// A coarse timer wheel: each timer of a worker, ticked by one timer of its loop.
///
/// Entries are never moved or cancelled. A key that comes due is handed to its owner, who looks at
/// its own deadline and inserts again if that has moved; so a stream that moves its deadline with
/// every event pays nothing for it (the lazy variant of Varghese & Lauck, "Hashed and hierarchical
/// timing wheels", 1987).
#[derive(Debug)]
pub struct TimerWheel {
    slots: Vec<Vec<Entry>>,
    /// Width of a slot; the worst lateness of a timer.
    tick: Nanos,
    /// The next tick to be looked at.
    next: u64,
    size: usize,
}

impl TimerWheel {
    pub fn new(tick: Nanos, now: Nanos) -> Self {
        TimerWheel { slots: vec![Vec::new(); SLOTS], tick, next: now / tick, size: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Asks for `key` to come out once `due` has passed.
    pub fn insert(&mut self, due: Nanos, key: u32) {
        // Rounded up: a timer may be late by a tick, never early.
        let tick = due.div_ceil(self.tick).max(self.next);
        self.slots[(tick % SLOTS as u64) as usize].push(Entry { due, key });
        self.size += 1;
    }

    /// Moves every key that is due at `now` to `out`.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<u32>) {
        let last = now / self.tick;
        // After a long sleep one turn of the wheel sees every slot.
        let steps = (last + 1).saturating_sub(self.next).min(SLOTS as u64);
        for step in 0..steps {
            let slot = &mut self.slots[((self.next + step) % SLOTS as u64) as usize];
            let before = slot.len();
            slot.retain(|entry| {
                let due = entry.due <= now;
                if due {
                    out.push(entry.key);
                }
                !due
            });
            self.size -= before - slot.len();
        }
        self.next = self.next.max(last + 1);
    }
}
