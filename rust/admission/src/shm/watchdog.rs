//! Finds a holder of the lock that has stopped.

use super::holder::Holder;
use crate::time::Nanos;

/// Says when a holder has made no progress for too long: it is stopped or starved, and the lock
/// comes free only with its death. It decides; the caller kills.
#[derive(Debug)]
pub struct Watchdog {
    limit: Nanos,
    seen: Option<Holder>,
    /// How long this holder has been seen to stand idle.
    idle: Nanos,
    last: Nanos,
}

impl Watchdog {
    /// For holders that stand idle for `limit` nanoseconds.
    pub fn new(limit: Nanos) -> Self {
        Watchdog { limit, seen: None, idle: 0, last: 0 }
    }

    /// Takes note of who holds the lock at `now`, and names that one if its time is over: again at
    /// every look, until the lock moves on.
    ///
    /// The time between two looks counts as half the limit at most. So a holder dies only after
    /// three looks, and when the whole machine or container was paused, it gets to run first.
    pub fn check(&mut self, holder: Option<Holder>, now: Nanos) -> Option<Holder> {
        let passed = now.saturating_sub(self.last).min(self.limit / 2);
        self.last = now;
        if holder != self.seen {
            self.seen = holder;
            self.idle = 0;
            return None;
        }
        self.idle = self.idle.saturating_add(passed);
        holder.filter(|_| self.idle >= self.limit)
    }
}
