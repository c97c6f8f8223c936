//! Time to first token of a backend: what a service level leaves for waiting in the queue.
//!
//! It is the time to process the prompt, and a delay that all requests have: engine steps, network, the
//! prompts before. The delay is learned from all prompts together. Learned by length, a wrong value could
//! never be corrected: a length that is refused has no first tokens.

use super::prefill_rate::PrefillRate;
use super::quantile::Quantile;
use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// The quantile of the delay that is assumed. A request that waited longer would have its first token too
/// late.
const PERCENT: u32 = 95;
/// First tokens after which old ones count half: a burst should be forgotten soon.
const MEMORY: u32 = 128;

/// The delays of one backend's first tokens, in milliseconds, beyond the prefill.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstTokens(Quantile);

plain!(FirstTokens);

impl FirstTokens {
    pub(crate) const EMPTY: FirstTokens = FirstTokens(Quantile::EMPTY);

    pub(crate) fn learn(&mut self, prompt: u64, taken: Nanos, rate: &PrefillRate) {
        let beyond = taken.saturating_sub(prefill_duration(prompt, rate));
        let millis = u32::try_from(beyond / MILLISECOND).unwrap_or(u32::MAX);
        self.0.learn(millis, PERCENT, MEMORY);
    }

    /// Time to first token of a prompt of this length; 0: nothing is known.
    pub(crate) fn expect(&self, prompt: u64, rate: &PrefillRate) -> Nanos {
        Nanos::from(self.0.get().unwrap_or(0)) * MILLISECOND + prefill_duration(prompt, rate)
    }
}

fn prefill_duration(prompt: u64, rate: &PrefillRate) -> Nanos {
    rate.get().map_or(0, |rate| (prompt as f64 / rate * SECOND as f64) as Nanos)
}

#[cfg(test)]
mod tests {
    use super::{FirstTokens, PrefillRate};
    use crate::time::MILLISECOND;

    #[test]
    fn expects_what_few_prompts_exceed() {
        let mut seen = FirstTokens::EMPTY;
        let rate = PrefillRate::UNKNOWN;
        assert_eq!(seen.expect(100, &rate), 0);
        for step in 0..100 {
            seen.learn(100, if step < 90 { 50 } else { 400 } * MILLISECOND, &rate);
        }
        let expected = seen.expect(500, &rate);
        assert!((400..=566).contains(&(expected / MILLISECOND)), "{expected}");
    }

    #[test]
    fn reading_is_by_length_and_the_rest_is_for_all() {
        let mut seen = FirstTokens::EMPTY;
        let rate = PrefillRate::known(10_000.0);
        for _ in 0..100 {
            seen.learn(4000, 464 * MILLISECOND, &rate);
        }
        assert_eq!(seen.expect(100, &rate), (64 + 10) * MILLISECOND);
        assert_eq!(seen.expect(8000, &rate), (64 + 800) * MILLISECOND);
    }
}
