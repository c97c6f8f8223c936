//! How fast a resource is served, without mistaking idle time for slowness.

use crate::shm::plain;
use crate::time::{Nanos, SECOND};

/// A window ends after this time, if it has enough events.
const WINDOW: Nanos = SECOND;
/// Least number of events in a window; fewer would be noise.
const ENOUGH: u32 = 32;
/// A window ends after this time with any number of events: a thinking tier ends few requests.
const LONGEST: Nanos = 60 * SECOND;
/// Weight of a new window under demand.
const FOLLOW: f64 = 0.3;

/// What was served, and in what time. The time need not be contiguous.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Window {
    sum: f64,
    time: Nanos,
    events: u32,
    _padding: u32,
}

impl Window {
    const EMPTY: Window = Window { sum: 0.0, time: 0, events: 0, _padding: 0 };

    fn is_over(&self) -> bool {
        self.time >= LONGEST || self.time >= WINDOW && self.events >= ENOUGH
    }

    fn per_second(&self) -> f64 {
        self.sum * SECOND as f64 / self.time as f64
    }
}

/// Units per second. Only time under demand measures the rate, as without demand less is served than could
/// be. Without demand the rate can only rise.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// 0: not known.
    per_second: f64,
    demanded: Window,
    idle: Window,
    /// Time is counted up to this moment.
    seen: Nanos,
    /// 1: something waits.
    demand: u32,
    _padding: u32,
}

plain!(Rate);

impl Rate {
    pub(crate) fn new(now: Nanos) -> Self {
        Rate {
            per_second: 0.0,
            demanded: Window::EMPTY,
            idle: Window::EMPTY,
            seen: now,
            demand: 0,
            _padding: 0,
        }
    }

    /// Units per second, once enough of them have been seen under demand.
    pub(crate) fn get(&self) -> Option<f64> {
        (self.per_second > 0.0).then_some(self.per_second)
    }

    /// The rate, or what little has been seen under demand so far.
    pub(crate) fn guess(&self) -> Option<f64> {
        let seen = || self.demanded.per_second();
        self.get().or_else(|| (self.demanded.sum > 0.0 && self.demanded.time > 0).then(seen))
    }

    pub(crate) fn count(&mut self, units: f64) {
        let window = self.window();
        window.sum += units;
        window.events += 1;
    }

    /// Demand begins or ends.
    pub(crate) fn set_demand(&mut self, there_is: bool, now: Nanos) {
        self.advance(now);
        self.demand = u32::from(there_is);
    }

    /// Ends a window that is complete.
    pub(crate) fn update(&mut self, now: Nanos) {
        self.advance(now);
        if self.demanded.is_over() {
            let seen = std::mem::replace(&mut self.demanded, Window::EMPTY).per_second();
            let follow = if self.per_second == 0.0 { 1.0 } else { FOLLOW };
            self.per_second += follow * (seen - self.per_second);
        }
        if self.idle.is_over() {
            let seen = std::mem::replace(&mut self.idle, Window::EMPTY).per_second();
            if self.per_second > 0.0 {
                self.per_second = self.per_second.max(seen);
            }
        }
    }

    fn window(&mut self) -> &mut Window {
        if self.demand != 0 { &mut self.demanded } else { &mut self.idle }
    }

    fn advance(&mut self, now: Nanos) {
        let time = now.saturating_sub(self.seen);
        self.seen = self.seen.max(now);
        self.window().time += time;
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
            rate.update(now);
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
        rate.update(now + 59 * SECOND);
        assert!(rate.get().unwrap() > 39.0);
        rate.update(now + 61 * SECOND);
        assert!(rate.get().unwrap() < 29.0);
    }

    /// Twice as many as are served at once, every ten seconds: one half waits for a second.
    #[test]
    fn bursts_with_pauses_between_them_show_it_as_well() {
        let mut rate = Rate::new(0);
        for burst in 0..8 {
            let from = burst * 10 * SECOND;
            rate.set_demand(true, from);
            for step in 1..=8u64 {
                if step == 5 {
                    rate.set_demand(false, from + SECOND);
                }
                rate.count(1.0);
                rate.update(from + step.div_ceil(4) * SECOND);
            }
            assert!((rate.guess().unwrap() - 4.0).abs() < 0.01, "{:?}", rate.guess());
            assert_eq!(rate.get().is_some(), burst == 7, "32 are enough");
        }
    }

    #[test]
    fn without_demand_there_is_not_even_a_guess() {
        let mut rate = Rate::new(0);
        minute(&mut rate, 0, 1, false);
        assert_eq!((rate.get(), rate.guess()), (None, None));
    }
}
