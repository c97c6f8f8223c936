//! The retry budget: limits retries to a share of a tier's requests, so that they cannot overload it.

use crate::time::{Nanos, SECOND};

/// The window over which the share is measured. Together with the floor below, this is how Finagle's
/// retry budget works.
const WINDOW: Nanos = 10 * SECOND;
/// Retries per second that are always allowed.
const FLOOR_PER_SECOND: f64 = 1.0;

/// A token bucket: each request adds `share` tokens, each second adds one, a retry takes one.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    share: f64,
    tokens: f64,
    /// Exponentially decayed count of requests; limits how many tokens can be saved up.
    requests_in_window: f64,
    last: Nanos,
}

impl RetryBudget {
    /// `share`: retries per request, such as 0.1. 0 means none at all.
    pub fn new(share: f64, now: Nanos) -> Self {
        let seconds = WINDOW as f64 / SECOND as f64;
        RetryBudget {
            share,
            tokens: if share > 0.0 { FLOOR_PER_SECOND * seconds } else { 0.0 },
            requests_in_window: 0.0,
            last: now,
        }
    }

    pub fn request(&mut self, now: Nanos) {
        self.advance(now);
        self.requests_in_window += 1.0;
        self.tokens += self.share;
        self.limit();
    }

    /// Takes one token. Returns false if there is none.
    pub fn take(&mut self, now: Nanos) -> bool {
        self.advance(now);
        if self.share <= 0.0 || self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    fn advance(&mut self, now: Nanos) {
        let passed = now.saturating_sub(self.last) as f64;
        self.last = now;
        self.tokens += FLOOR_PER_SECOND * passed / SECOND as f64;
        self.requests_in_window *= (-passed / WINDOW as f64).exp();
        self.limit();
    }

    fn limit(&mut self) {
        let floor = FLOOR_PER_SECOND * WINDOW as f64 / SECOND as f64;
        self.tokens = self.tokens.min(floor + self.share * self.requests_in_window);
    }
}

#[cfg(test)]
mod tests {
    use super::RetryBudget;
    use crate::time::SECOND;

    #[test]
    fn an_idle_tier_has_a_window_of_the_floor() {
        let mut budget = RetryBudget::new(0.1, 0);
        let taken = (0..100).filter(|_| budget.take(0)).count();
        assert_eq!(taken, 10);
        assert!(budget.take(SECOND), "one more each second");
        assert!(!budget.take(SECOND));
    }

    #[test]
    fn under_total_failure_retries_stay_a_tenth() {
        let mut budget = RetryBudget::new(0.1, 0);
        let mut retries = 0;
        for step in 0..100_000u64 {
            let now = step * SECOND / 1000;
            budget.request(now);
            retries += u32::from(budget.take(now));
        }
        // A tenth of 100,000, the floor of 1 a second for 100 s, and the first window's 10.
        assert!((10_000..=10_120).contains(&retries), "{retries}");
    }

    #[test]
    fn no_share_means_no_retry() {
        assert!(!RetryBudget::new(0.0, 0).take(100 * SECOND));
    }
}
