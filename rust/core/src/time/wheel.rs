//! The timers of one worker, driven by a single timer of its event loop.

use super::Nanos;

const SLOTS: usize = 256;
/// No timer: the end of a list.
const NONE: u32 = u32::MAX;

/// The timer of one key, linked into the list of a slot while it is set.
#[derive(Debug, Clone, Copy)]
struct Timer {
    due: Nanos,
    /// [`NONE`]: not set. `due` is then the maximum, so any new deadline is earlier.
    slot: u32,
    previous: u32,
    next: u32,
}

const UNSET: Timer = Timer { due: Nanos::MAX, slot: NONE, previous: NONE, next: NONE };

/// A coarse timer wheel (Varghese & Lauck, "Hashed and hierarchical timing wheels", 1987) with one
/// timer per key. Keys are small and reused: indices into a slab.
///
/// Setting a timer can only move it earlier. When it fires, the owner compares it with its current
/// deadline and sets it again if that is later. So a stream that extends its deadline with every event
/// does no work here, and a timer left over from the key's previous user merely fires early.
/// Memory: 24 bytes for each key up to the highest seen, independent of the number of requests and of
/// how far away deadlines are.
#[derive(Debug)]
pub struct TimerWheel {
    /// The first timer of each slot.
    slots: [u32; SLOTS],
    /// By key.
    timers: Vec<Timer>,
    /// Width of a slot; the worst lateness of a timer.
    tick: Nanos,
    /// The next tick to be looked at.
    next: u64,
}

impl TimerWheel {
    pub fn new(tick: Nanos, now: Nanos) -> Self {
        TimerWheel { slots: [NONE; SLOTS], timers: Vec::new(), tick, next: now / tick }
    }

    /// Timers that are set.
    pub fn len(&self) -> usize {
        self.timers.iter().filter(|timer| timer.slot != NONE).count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes `key` fire once `due` has passed. A timer that is already set for an earlier time stays as it is.
    #[inline]
    pub fn set(&mut self, due: Nanos, key: u32) {
        // The common case: the deadline was extended, so the earlier timer stays.
        if self.timers.get(key as usize).is_none_or(|timer| timer.due > due) {
            self.move_up(due, key);
        }
    }

    /// Sets a timer that is not set, or set for later.
    fn move_up(&mut self, due: Nanos, key: u32) {
        let at = key as usize;
        if at >= self.timers.len() {
            self.timers.resize(at + 1, UNSET);
        }
        if self.timers[at].slot != NONE {
            self.unlink(key);
        }
        // Rounded up: a timer may be late by a tick, never early.
        let tick = due.div_ceil(self.tick).max(self.next);
        self.link(due, (tick % SLOTS as u64) as u32, key);
    }

    /// Moves every key that is due at `now` to `out`.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<u32>) {
        let last = now / self.tick;
        // After a long sleep, one full turn visits every slot.
        let steps = (last + 1).saturating_sub(self.next).min(SLOTS as u64);
        for step in 0..steps {
            let mut key = self.slots[((self.next + step) % SLOTS as u64) as usize];
            while key != NONE {
                let Timer { due, next, .. } = self.timers[key as usize];
                if due <= now {
                    self.unlink(key);
                    out.push(key);
                }
                key = next;
            }
        }
        self.next = self.next.max(last + 1);
    }

    fn link(&mut self, due: Nanos, slot: u32, key: u32) {
        let first = std::mem::replace(&mut self.slots[slot as usize], key);
        if first != NONE {
            self.timers[first as usize].previous = key;
        }
        self.timers[key as usize] = Timer { due, slot, previous: NONE, next: first };
    }

    fn unlink(&mut self, key: u32) {
        let Timer { slot, previous, next, .. } =
            std::mem::replace(&mut self.timers[key as usize], UNSET);
        if previous == NONE {
            self.slots[slot as usize] = next;
        } else {
            self.timers[previous as usize].next = next;
        }
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
    }
}
