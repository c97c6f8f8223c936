//! Finds a holder of the lock that makes no progress.

use super::holder::Holder;
use crate::time::Nanos;

/// Says when a holder has made no progress for too long: it is stopped or starved, and only its death frees
/// the lock. It decides; the caller kills.
#[derive(Debug)]
pub struct Watchdog {
    limit: Nanos,
    seen: Option<Holder>,
    /// How long this holder has made no progress.
    idle: Nanos,
    last: Nanos,
}

impl Watchdog {
    /// For holders without progress for `limit` nanoseconds.
    pub fn new(limit: Nanos) -> Self {
        Watchdog { limit, seen: None, idle: 0, last: 0 }
    }

    /// Takes note of who holds the lock at `now`, and returns that holder if its time is over: again at
    /// every check, until the lock is taken anew.
    ///
    /// At most half the limit of the time between two checks counts. So a holder dies after three checks at
    /// the earliest, and after a pause of the whole machine it gets to run first.
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
