//! A slot limit that follows what a backend can do within its service level.
//!
//! Gradients of the response time do not fit: response time follows the length of the answers, and time
//! between tokens grows with the batch even when all is well. So the set points are the service levels, and
//! the operator's limit is the maximum.

use serde::Deserialize;

use super::caps::UNLIMITED;
use crate::histogram::Histogram;
use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// What is done with the limit that a backend's latencies suggest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdaptiveMode {
    Off,
    /// It is computed and shown in status.
    Observe,
    /// It is enforced, below the operator's limit.
    Enforce,
}

/// Least duration of a window, and least number of first tokens in it.
const WINDOW: Nanos = SECOND;
const ENOUGH: u32 = 30;
/// The percentile of the latencies that counts.
const PERCENTILE: u64 = 90;
/// Buckets of the slowness of first tokens, in tenths of the predicted time.
const SLOWNESS: usize = 64;
/// Shorter predictions count as this: engine steps and network take as long.
const LEAST_PREDICTION: Nanos = 100 * MILLISECOND;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adaptive {
    mode: u32,
    /// The suggested limit; [`UNLIMITED`] before the first window.
    limit: u32,
    /// The service level for the time between tokens; 0: none.
    target: Nanos,
    began: Nanos,
    /// Histogram of first tokens, by tenths of their predicted time.
    slowness: [u32; SLOWNESS],
    firsts: u32,
    /// Pushbacks, preemptions and queues inside the engine.
    overloads: u32,
    inter_token: [u64; Histogram::BUCKETS],
}

plain!(Adaptive);

/// The state of the backend when a window ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// The operator's limit.
    pub(crate) limit: u32,
    pub(crate) used: u32,
    /// Whether more requests waited for the backend.
    pub(crate) backlog: bool,
}

impl Adaptive {
    pub(crate) fn new(mode: AdaptiveMode, target: Option<Nanos>, now: Nanos) -> Self {
        Adaptive {
            mode: mode as u32,
            limit: UNLIMITED,
            target: target.unwrap_or(0),
            began: now,
            slowness: [0; SLOWNESS],
            firsts: 0,
            overloads: 0,
            inter_token: [0; Histogram::BUCKETS],
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.mode == AdaptiveMode::Off as u32
    }

    /// The suggested limit, once there was a window: between half of the operator's limit and all of it, as
    /// the operator has tuned that.
    pub(crate) fn suggestion(&self, limit: u32) -> Option<u32> {
        (self.limit != UNLIMITED).then_some(self.limit.clamp(limit.div_ceil(2), limit))
    }

    /// The slots that may be used of the operator's limit.
    pub(crate) fn allowed(&self, limit: u32) -> u32 {
        let enforces = self.mode == AdaptiveMode::Enforce as u32;
        self.suggestion(limit).filter(|_| enforces).unwrap_or(limit)
    }

    /// A first token has arrived `taken` after its dispatch, where `predicted` was expected.
    pub(crate) fn first_token(&mut self, taken: Nanos, predicted: Nanos) {
        let tenths = taken * 10 / predicted.max(LEAST_PREDICTION);
        self.slowness[(tenths as usize).min(SLOWNESS - 1)] += 1;
        self.firsts += 1;
    }

    pub(crate) fn inter_token(&mut self, inter_token: &Histogram) {
        for (count, more) in self.inter_token.iter_mut().zip(inter_token.counts()) {
            *count += more;
        }
    }

    pub(crate) fn note_overload(&mut self) {
        self.overloads += 1;
    }

    /// Ends the window if it is complete.
    pub(crate) fn update(&mut self, situation: Situation, now: Nanos) {
        let is_over = now.saturating_sub(self.began) >= WINDOW
            && (self.firsts >= ENOUGH || self.overloads > 0);
        // Nothing can be learned while the backend is drained.
        if self.is_off() || !is_over || situation.limit == 0 {
            return;
        }
        let before = self.suggestion(situation.limit).unwrap_or(situation.limit);
        let suggested = self.next(before, situation);
        self.limit = suggested.clamp(situation.limit.div_ceil(2), situation.limit);
        self.slowness = [0; SLOWNESS];
        self.inter_token = [0; Histogram::BUCKETS];
        (self.firsts, self.overloads, self.began) = (0, 0, now);
    }

    fn next(&self, limit: u32, Situation { used, backlog, .. }: Situation) -> u32 {
        let gap = Histogram::fine_with(&self.inter_token).quantile_bound(PERCENTILE);
        // In tenths, as the slowness is. Without a service level, or a stream, the gaps mean nothing.
        let stretch = match (gap, self.target) {
            (Some(gap), target) if target > 0 => gap * 10 / target,
            _ => 0,
        };
        let slowness = percentile(&self.slowness);
        if stretch > 11 || slowness > 15 || self.overloads > 0 {
            // A half empty backend is not slow because of its limit.
            return if used * 2 < limit && self.overloads == 0 { limit } else { limit * 9 / 10 };
        }
        if backlog && stretch < 9 && slowness < 12 {
            return limit + (limit / 32).max(1);
        }
        limit
    }
}

/// The bucket that the percentile is in.
fn percentile(counts: &[u32]) -> u64 {
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let wanted = (total * PERCENTILE).div_ceil(100);
    let mut below = 0;
    let at = counts.iter().position(|&count| {
        below += u64::from(count);
        below >= wanted
    });
    if total == 0 { 0 } else { at.unwrap_or(0) as u64 }
}

#[cfg(test)]
mod tests {
    use super::{Adaptive, AdaptiveMode, Situation};
    use crate::histogram::Histogram;
    use crate::time::{MILLISECOND, Nanos, SECOND};

    const FULL: Situation = Situation { limit: 64, used: 64, backlog: true };

    /// Runs windows with these latencies; returns the suggestion after them.
    fn windows(
        adaptive: &mut Adaptive,
        count: u64,
        gap: Nanos,
        first: Nanos,
        now: Situation,
    ) -> u32 {
        for _ in 0..count {
            let mut inter_token = Histogram::fine();
            for _ in 0..100 {
                inter_token.observe(gap);
            }
            adaptive.inter_token(&inter_token);
            for _ in 0..30 {
                adaptive.first_token(first, 200 * MILLISECOND);
            }
            let end = adaptive.began + SECOND;
            adaptive.update(now, end);
        }
        adaptive.suggestion(now.limit).expect("a window is over")
    }

    fn adaptive(mode: AdaptiveMode) -> Adaptive {
        Adaptive::new(mode, Some(60 * MILLISECOND), 0)
    }

    #[test]
    fn shrinks_by_a_tenth_while_tokens_are_late_and_not_below_half() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        assert_eq!(windows(&mut limit, 1, 150 * MILLISECOND, 200 * MILLISECOND, FULL), 57);
        assert_eq!(limit.allowed(64), 57);
        assert_eq!(windows(&mut limit, 20, 150 * MILLISECOND, 200 * MILLISECOND, FULL), 32);
    }

    #[test]
    fn shrinks_while_first_tokens_are_late() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        assert_eq!(windows(&mut limit, 1, 20 * MILLISECOND, 400 * MILLISECOND, FULL), 57);
    }

    #[test]
    fn grows_back_under_backlog_and_never_above_the_operator() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        windows(&mut limit, 20, 150 * MILLISECOND, 200 * MILLISECOND, FULL);
        assert_eq!(windows(&mut limit, 4, 20 * MILLISECOND, 200 * MILLISECOND, FULL), 36);
        let idle = Situation { backlog: false, ..FULL };
        assert_eq!(windows(&mut limit, 4, 20 * MILLISECOND, 200 * MILLISECOND, idle), 36);
        assert_eq!(windows(&mut limit, 99, 20 * MILLISECOND, 200 * MILLISECOND, FULL), 64);
    }

    #[test]
    fn one_overload_is_enough_and_counts_once_a_window() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        limit.note_overload();
        limit.note_overload();
        limit.update(FULL, SECOND);
        assert_eq!(limit.suggestion(64), Some(57));
        limit.update(FULL, 2 * SECOND);
        assert_eq!(limit.suggestion(64), Some(57));
    }

    #[test]
    fn nothing_is_learned_from_a_drained_backend() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        limit.note_overload();
        limit.update(Situation { limit: 0, used: 0, backlog: false }, SECOND);
        assert_eq!(limit.allowed(64), 64);
        limit.update(Situation { limit: 4, used: 4, backlog: true }, 2 * SECOND);
        assert_eq!(
            (limit.allowed(4), limit.allowed(64)),
            (3, 32),
            "never below half of what is set"
        );
    }

    #[test]
    fn half_empty_it_stays() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        let sparse = Situation { limit: 64, used: 20, backlog: false };
        assert_eq!(windows(&mut limit, 5, 150 * MILLISECOND, 200 * MILLISECOND, sparse), 64);
    }

    #[test]
    fn observing_it_suggests_and_allows_all() {
        let mut limit = adaptive(AdaptiveMode::Observe);
        windows(&mut limit, 3, 150 * MILLISECOND, 200 * MILLISECOND, FULL);
        assert_eq!(limit.suggestion(64), Some(45));
        assert_eq!(limit.allowed(64), 64);
        let mut off = adaptive(AdaptiveMode::Off);
        off.note_overload();
        off.update(FULL, SECOND);
        assert_eq!(off.suggestion(64), None);
    }

    #[test]
    fn too_few_first_tokens_are_no_window() {
        let mut limit = adaptive(AdaptiveMode::Enforce);
        for _ in 0..29 {
            limit.first_token(SECOND, 200 * MILLISECOND);
        }
        limit.update(FULL, 10 * SECOND);
        assert_eq!(limit.suggestion(64), None);
    }
}
