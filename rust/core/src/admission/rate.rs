//! How fast a resource is served, learned without mistaking idleness for slowness.

use crate::shm::plain;
use crate::time::{Nanos, SECOND};

/// A window is over after this time, if it has seen enough.
const WINDOW: Nanos = SECOND;
/// Events that make a window: fewer say more about chance than about speed.
const ENOUGH: u32 = 32;
/// A window is over after this time whatever it has seen: a thinking tier ends few requests.
const LONGEST: Nanos = 60 * SECOND;
/// A window counts as saturated if demand was missing for no more than this part of it.
const IDLE_PART: Nanos = 10;
/// Weight of a window in which demand was never missing.
const FOLLOW: f64 = 0.3;

/// Units per second. A window that is faster than the estimate raises it; a slower one lowers it
/// only if there was demand all the time (research/scheduling.md §2.3, point 2).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: f64,
    sum: f64,
    events: u32,
    /// Whether a saturated window has been seen: before, the estimate is only a lower bound.
    known: u32,
    began: Nanos,
    idle: Nanos,
    /// Since when there is no demand; 0: there is.
    idle_since: Nanos,
}

plain!(Rate);

impl Rate {
    pub(super) fn new(now: Nanos) -> Self {
        Rate {
            per_second: 0.0,
            sum: 0.0,
            events: 0,
            known: 0,
            began: now,
            idle: 0,
            idle_since: now.max(1),
        }
    }

    /// Units per second, once they have been seen under full demand.
    pub(super) fn get(&self) -> Option<f64> {
        (self.known != 0 && self.per_second > 0.0).then_some(self.per_second)
    }

    /// The best guess, for comparisons: a lower bound if that is all there is.
    pub(super) fn guess(&self) -> Option<f64> {
        (self.per_second > 0.0).then_some(self.per_second)
    }

    pub(super) fn count(&mut self, units: f64) {
        self.sum += units;
        self.events += 1;
    }

    /// Demand has come or gone.
    pub(super) fn set_demand(&mut self, there_is: bool, now: Nanos) {
        if there_is && self.idle_since != 0 {
            self.idle += now.saturating_sub(self.idle_since.max(self.began));
            self.idle_since = 0;
        } else if !there_is && self.idle_since == 0 {
            self.idle_since = now.max(1);
        }
    }

    /// Ends the window if it is time.
    pub(super) fn turn(&mut self, now: Nanos) {
        let length = now.saturating_sub(self.began);
        if length < WINDOW || self.events < ENOUGH && length < LONGEST {
            return;
        }
        let still = match self.idle_since {
            0 => 0,
            since => now.saturating_sub(since.max(self.began)),
        };
        let saturated = (self.idle + still) * IDLE_PART <= length;
        let seen = self.sum * SECOND as f64 / length as f64;
        if saturated && self.known == 0 {
            (self.known, self.per_second) = (1, seen);
        } else if saturated {
            self.per_second += FOLLOW * (seen - self.per_second);
        } else if seen > self.per_second {
            self.per_second = seen;
        }
        (self.sum, self.events, self.began, self.idle) = (0.0, 0, now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;
    use crate::time::SECOND;

    /// Sixty seconds at `per_second` single units; `demand`: whether more were waiting.
    fn minute(rate: &mut Rate, from: u64, per_second: u64, demand: bool) -> u64 {
        rate.set_demand(demand, from);
        for step in 1..=60 * per_second {
            let now = from + step * SECOND / per_second;
            rate.count(1.0);
            rate.turn(now);
        }
        from + 60 * SECOND
    }

    #[test]
    fn is_unknown_until_demand_was_never_missing() {
        let mut rate = Rate::new(0);
        let now = minute(&mut rate, 0, 10, false);
        assert_eq!(rate.get(), None);
        minute(&mut rate, now, 40, true);
        assert!((rate.get().unwrap() - 40.0).abs() < 2.0);
    }

    #[test]
    fn does_not_mistake_idleness_for_slowness() {
        let mut rate = Rate::new(0);
        let now = minute(&mut rate, 0, 40, true);
        let now = minute(&mut rate, now, 2, false);
        assert!(rate.get().unwrap() > 38.0);
        let now = minute(&mut rate, now, 80, false);
        assert!(rate.get().unwrap() > 78.0, "a faster window is believed");
        minute(&mut rate, now, 20, true);
        assert!((rate.get().unwrap() - 20.0).abs() < 2.0, "a slower one under demand too");
    }

    #[test]
    fn a_stalled_resource_is_slow_after_a_minute() {
        let mut rate = Rate::new(0);
        let now = minute(&mut rate, 0, 40, true);
        rate.turn(now + 59 * SECOND);
        assert!(rate.get().unwrap() > 39.0);
        rate.turn(now + 61 * SECOND);
        assert!(rate.get().unwrap() < 29.0);
    }
}
