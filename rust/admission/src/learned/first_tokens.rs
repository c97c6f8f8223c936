//! How long after its dispatch a request has its first token: what is left of a service level for
//! waiting.
//!
//! It is the time to read the prompt, and what everyone has to wait for beside it: steps, network,
//! the prompts before. The latter is learned from all prompts together. An estimate for each length
//! would shut lengths out: who is not let in has no first tokens that could show that it was wrong.

use super::prefill_rate::PrefillRate;
use super::quantile::Quantile;
use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// Which part of the first tokens has come by the time that is reckoned with: to wait longer would
/// be to dispatch what then comes too late.
const PERCENT: u32 = 95;
/// First tokens after which old ones count half: a burst is soon over.
const MEMORY: u32 = 128;

/// The delays of one backend's first tokens, in milliseconds, beyond the reading of the prompts.
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

    /// What a prompt of this length takes; 0: nothing is known.
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
