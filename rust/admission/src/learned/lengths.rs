//! Output lengths, learned by class of request: the basis of KV reservations and costs.

use super::quantile::Quantile;
use crate::api::ids::TierIndex;
use crate::shm::plain;

/// Classes of one tier: by the limit on output tokens, and whether tools are offered.
pub(crate) const CLASSES: usize = 16;
/// The quantile of the lengths that is expected (q50-q60).
const PERCENT: u32 = 55;
/// Answers after which old ones count half.
const MEMORY: u32 = 512;
/// Expected before any answer has been seen.
const FIRST_GUESS: u32 = 256;

/// The lengths seen in one class, in tokens.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lengths(Quantile);

plain!(Lengths);

pub(crate) fn class(tier: TierIndex, max_tokens: Option<u32>, tools: bool) -> u16 {
    let cap = match max_tokens {
        Some(0..=64) => 0,
        Some(65..=256) => 1,
        Some(257..=1024) => 2,
        Some(1025..=4096) => 3,
        Some(4097..=16_384) => 4,
        Some(_) => 5,
        None => 6,
    };
    tier * CLASSES as u16 + cap * 2 + u16::from(tools)
}

impl Lengths {
    /// Output tokens to expect of a request with this limit.
    pub(crate) fn expect(&self, max_tokens: Option<u32>) -> u32 {
        self.0.get().unwrap_or(FIRST_GUESS).min(max_tokens.unwrap_or(u32::MAX)).max(1)
    }

    pub(crate) fn learn(&mut self, output: u32) {
        self.0.learn(output, PERCENT, MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::{Lengths, Quantile, class};

    #[test]
    fn expects_what_a_little_more_than_half_of_the_answers_need() {
        let mut lengths = Lengths(Quantile::EMPTY);
        assert_eq!(lengths.expect(None), 256);
        assert_eq!(lengths.expect(Some(5)), 5);
        for output in 1..=100 {
            lengths.learn(output);
        }
        let expected = lengths.expect(None);
        assert!((55..=78).contains(&expected), "{expected}: q55, and at most one bucket above");
        assert_eq!(lengths.expect(Some(10)), 10);
    }

    #[test]
    fn classes_of_different_tiers_and_shapes_are_different() {
        assert_ne!(class(0, None, false), class(1, None, false));
        assert_ne!(class(0, Some(64), false), class(0, Some(65), false));
        assert_ne!(class(0, None, false), class(0, None, true));
        assert!(usize::from(class(63, None, true)) < 64 * super::CLASSES);
    }
}
