//! Times to within one percent, in fixed memory: each power of two has 128 buckets.

const BITS: u32 = 7;
const BUCKETS: usize = ((64 - BITS) as usize + 1) << BITS;

#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], total: 0 }
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (value >> shift) as usize
}

/// The smallest value of a bucket.
fn value_of(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1);
    ((bucket - (shift << BITS)) as u64) << shift
}

impl Histogram {
    pub fn add(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    /// A value that this share of all does not exceed, to within a bucket.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return value_of(bucket);
            }
        }
        0
    }

    /// As JSON, in microseconds.
    pub fn json(&self) -> String {
        let us = |share| self.quantile(share) as f64 / 1e3;
        let (p50, p90, p99, most) = (us(0.5), us(0.9), us(0.99), us(1.0));
        let count = self.total;
        format!(
            "{{\"count\":{count},\"p50\":{p50:.2},\"p90\":{p90:.2},\"p99\":{p99:.2},\"max\":{most:.2}}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, bucket, value_of};

    #[test]
    fn a_bucket_is_narrower_than_a_percent() {
        let mut value = 1u64;
        while value < 1 << 60 {
            let (low, high) = (value_of(bucket(value)), value_of(bucket(value) + 1));
            assert!(low <= value && value < high, "{low} {value} {high}");
            assert!((high - low - 1) * 100 <= value, "{low} {high}");
            value += value / 3 + 1;
        }
    }

    #[test]
    fn quantiles_of_a_thousand() {
        let mut times = Histogram::default();
        (1..=1000).for_each(|value| times.add(value * 1000));
        for (share, wanted) in [(0.5, 500_000), (0.99, 990_000), (1.0, 1_000_000)] {
            let found = times.quantile(share);
            assert!(found.abs_diff(wanted) * 100 <= wanted, "{share}: {found}");
        }
    }
}
