//! How long after its dispatch a request has its first token: what is left of a service level for
//! waiting.

use super::quantile::Quantile;
use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos};

/// Classes of prompts: up to 512 tokens, then four times as many each.
const CLASSES: usize = 5;
/// Which part of the first tokens has come by the time that is reckoned with: to wait longer would
/// be to dispatch what then comes too late.
const PERCENT: u32 = 95;

/// The delays of one backend's first tokens, in milliseconds, by the uncached length of the prompt.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstTokens([Quantile; CLASSES]);

plain!(FirstTokens);

impl FirstTokens {
    pub(super) const EMPTY: FirstTokens = FirstTokens([Quantile::EMPTY; CLASSES]);

    pub(super) fn learn(&mut self, prompt: u64, taken: Nanos) {
        let millis = u32::try_from(taken / MILLISECOND).unwrap_or(u32::MAX);
        self.0[class(prompt)].learn(millis, PERCENT);
    }

    /// What a prompt of this length takes; `None`: none like it has been seen.
    pub(super) fn expect(&self, prompt: u64) -> Option<Nanos> {
        self.0[class(prompt)].get().map(|millis| Nanos::from(millis) * MILLISECOND)
    }
}

fn class(prompt: u64) -> usize {
    (0..CLASSES - 1).find(|&class| prompt <= 512 << (2 * class)).unwrap_or(CLASSES - 1)
}

#[cfg(test)]
mod tests {
    use super::{FirstTokens, class};
    use crate::time::MILLISECOND;

    #[test]
    fn prompts_of_different_lengths_are_different() {
        let prompts = [1, 512, 513, 2048, 2049, 8192, 8193, 32_768, 32_769, u64::MAX];
        assert_eq!(prompts.map(class), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn expects_what_few_prompts_exceed() {
        let mut seen = FirstTokens::EMPTY;
        assert_eq!(seen.expect(100), None);
        for step in 0..100 {
            seen.learn(100, if step < 90 { 50 } else { 400 } * MILLISECOND);
        }
        let expected = seen.expect(512).unwrap();
        assert!((400..=566).contains(&(expected / MILLISECOND)), "{expected}");
        assert_eq!(seen.expect(513), None);
    }
}
