//! A quantile of recent values, kept up to date so that reading it costs nothing.

use crate::shm::plain;

/// Buckets of a factor of the square root of 2, from 1 to 2^17.
const BUCKETS: usize = 35;

/// One quantile of a stream of whole numbers.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantile {
    counts: [u32; BUCKETS],
    total: u32,
    /// 0: nothing seen.
    value: u32,
}

plain!(Quantile);

impl Quantile {
    pub(crate) const EMPTY: Quantile = Quantile { counts: [0; BUCKETS], total: 0, value: 0 };

    /// The quantile: not below the true one, and at most one bucket above it. 0 counts as 1.
    pub(crate) fn get(&self) -> Option<u32> {
        (self.value != 0).then_some(self.value)
    }

    /// Adds a value. `percent` is the quantile to keep; after `memory` values old ones count half.
    pub(crate) fn learn(&mut self, value: u32, percent: u32, memory: u32) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        if self.total >= memory {
            self.total = 0;
            for count in &mut self.counts {
                *count /= 2;
                self.total += *count;
            }
        }
        let wanted = (self.total * percent).div_ceil(100);
        let mut below = 0;
        let at = self.counts.iter().position(|&count| {
            below += count;
            below >= wanted
        });
        self.value = bound(at.unwrap_or(BUCKETS - 1));
    }
}

/// The largest value of a bucket.
fn bound(bucket: usize) -> u32 {
    2f64.powf(bucket as f64 / 2.0).round() as u32
}

fn bucket(value: u32) -> usize {
    let exact = 2.0 * f64::from(value.max(1)).log2();
    ((exact - 1e-9).ceil().max(0.0) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::Quantile;

    #[test]
    fn is_at_most_a_bucket_too_high() {
        for percent in [50, 55, 95] {
            let mut quantile = Quantile::EMPTY;
            assert_eq!(quantile.get(), None);
            for value in 1..=100 {
                quantile.learn(value, percent, 512);
            }
            let found = quantile.get().unwrap();
            assert!(found >= percent && f64::from(found) <= f64::from(percent) * 1.42, "{found}");
        }
    }

    #[test]
    fn forgets() {
        let mut quantile = Quantile::EMPTY;
        for _ in 0..2000 {
            quantile.learn(10, 55, 512);
        }
        for _ in 0..600 {
            quantile.learn(1000, 55, 512);
        }
        assert!(quantile.get().unwrap() >= 1000);
    }

    #[test]
    fn has_a_largest_value() {
        let mut quantile = Quantile::EMPTY;
        quantile.learn(u32::MAX, 95, 512);
        assert_eq!(quantile.get(), Some(1 << 17));
    }
}
