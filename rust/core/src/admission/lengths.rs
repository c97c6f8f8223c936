//! How long answers are, learned by class of request: what KV memory and fairness reckon with.

use crate::routing::TierIndex;
use crate::shm::plain;

/// Classes of one tier: by the cap on the output, and whether tools are offered.
pub(super) const CLASSES: usize = 16;
/// Buckets of a factor of the square root of 2, from 1 token to 2^17.
const BUCKETS: usize = 35;
/// Which part of the answers is at most as long as expected (research/scheduling.md §2.2: q50-q60).
const QUANTILE: f64 = 0.55;
/// Answers after which old ones count half.
const MEMORY: u32 = 512;
/// Before any answer has been seen.
const FIRST_GUESS: u32 = 256;

/// The lengths seen in one class.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Lengths {
    counts: [u32; BUCKETS],
    total: u32,
    /// The quantile, kept up to date so that an offer only reads it; 0: nothing seen.
    quantile: u32,
}

plain!(Lengths);

pub(super) fn class(tier: TierIndex, max_tokens: Option<u32>, tools: bool) -> u16 {
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
    /// Output tokens to expect of a request with this cap.
    pub(super) fn expect(&self, max_tokens: Option<u32>) -> u32 {
        let guess = if self.quantile == 0 { FIRST_GUESS } else { self.quantile };
        guess.min(max_tokens.unwrap_or(u32::MAX)).max(1)
    }

    pub(super) fn learn(&mut self, output: u32) {
        self.counts[bucket(output)] += 1;
        self.total += 1;
        if self.total >= MEMORY {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += *count;
            }
        }
        let wanted = (f64::from(self.total) * QUANTILE).ceil() as u32;
        let mut below = 0;
        let at = self.counts.iter().position(|&count| {
            below += count;
            below >= wanted
        });
        self.quantile = bound(at.unwrap_or(BUCKETS - 1));
    }
}

/// The longest answer of a bucket.
fn bound(bucket: usize) -> u32 {
    2f64.powf(bucket as f64 / 2.0).round() as u32
}

fn bucket(output: u32) -> usize {
    let exact = 2.0 * f64::from(output.max(1)).log2();
    ((exact - 1e-9).ceil().max(0.0) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::{Lengths, class};

    const NEW: Lengths = Lengths { counts: [0; super::BUCKETS], total: 0, quantile: 0 };

    #[test]
    fn expects_what_a_little_more_than_half_of_the_answers_need() {
        let mut lengths = NEW;
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
    fn forgets() {
        let mut lengths = NEW;
        for _ in 0..2000 {
            lengths.learn(10);
        }
        for _ in 0..600 {
            lengths.learn(1000);
        }
        assert!(lengths.expect(None) >= 1000);
    }

    #[test]
    fn classes_of_different_tiers_and_shapes_are_different() {
        assert_ne!(class(0, None, false), class(1, None, false));
        assert_ne!(class(0, Some(64), false), class(0, Some(65), false));
        assert_ne!(class(0, None, false), class(0, None, true));
        assert!(usize::from(class(63, None, true)) < 64 * super::CLASSES);
    }
}
