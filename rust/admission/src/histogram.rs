//! A histogram of times whose bucket bounds double.

use crate::time::{MILLISECOND, Nanos, SECOND};

const MICROSECOND: Nanos = 1_000;
/// Enough for both ladders, and one for values above all bounds.
const BUCKETS: usize = 22;

/// Counts by bucket. Bound `i` is `first << i`; the last bucket counts values above all bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    first: Nanos,
    bounds: usize,
    counts: [u64; BUCKETS],
    sum: Nanos,
}

impl Histogram {
    /// Number of counts: one for each bound, and one above all.
    pub const BUCKETS: usize = BUCKETS;

    /// 1 ms, doubling up to 1,024 s.
    pub fn coarse() -> Self {
        Histogram { first: MILLISECOND, bounds: 21, counts: [0; BUCKETS], sum: 0 }
    }

    /// 10 µs, doubling up to 10 s: for times between tokens, and for the overhead of Penstock itself.
    pub fn fine() -> Self {
        Histogram { first: 10 * MICROSECOND, bounds: 21, counts: [0; BUCKETS], sum: 0 }
    }

    pub fn observe(&mut self, time: Nanos) {
        self.observe_times(time, 1);
    }

    /// Observes the same time several times.
    pub fn observe_times(&mut self, time: Nanos, times: u64) {
        self.counts[self.bucket(time)] += times;
        self.sum += time * times;
    }

    /// The bucket of a time: the smallest i with time <= first << i.
    pub fn bucket(&self, time: Nanos) -> usize {
        let steps = time.div_ceil(self.first).max(1);
        let index = (u64::BITS - (steps - 1).leading_zeros()) as usize;
        index.min(self.bounds)
    }

    /// Adds counts and a sum that were kept elsewhere, as in shared memory.
    pub fn merge(&mut self, counts: &[u64; BUCKETS], sum: Nanos) {
        for (count, more) in self.counts.iter_mut().zip(counts) {
            *count += more;
        }
        self.sum = self.sum.wrapping_add(sum);
    }

    /// The fine ladder with counts that were kept elsewhere.
    pub(crate) fn fine_with(counts: &[u64; BUCKETS]) -> Self {
        Histogram { counts: *counts, ..Self::fine() }
    }

    /// A time that `percent` of all do not exceed, interpolated within its bucket.
    pub(crate) fn quantile_bound(&self, percent: u64) -> Option<Nanos> {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut below = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            if count > 0 && below + count >= wanted {
                let upper = self.first << index;
                let lower = if index == 0 { 0 } else { upper / 2 };
                return Some(lower + (upper - lower) * (wanted - below) / count);
            }
            below += count;
        }
        None
    }

    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    pub fn sum(&self) -> Nanos {
        self.sum
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Sum of all times, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum as f64 / SECOND as f64
    }

    /// Each bound in seconds with the count of its bucket alone; the last bound is infinite.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        (0..=self.bounds).map(|index| {
            let bound = if index == self.bounds {
                f64::INFINITY
            } else {
                (self.first << index) as f64 / SECOND as f64
            };
            (bound, self.counts[index])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, MICROSECOND};
    use crate::time::{MILLISECOND, SECOND};

    #[test]
    fn bounds_are_inclusive_as_prometheus_has_it() {
        for (time, bound) in [
            (0, 0.001),
            (MILLISECOND, 0.001),
            (MILLISECOND + 1, 0.002),
            (2 * MILLISECOND, 0.002),
            (2 * MILLISECOND + 1, 0.004),
            (1024 * SECOND, 1048.576),
            (1025 * SECOND, 1048.576),
            (2000 * SECOND, f64::INFINITY),
        ] {
            let mut histogram = Histogram::coarse();
            histogram.observe(time);
            let hit = histogram.buckets().find(|&(_, count)| count == 1);
            assert_eq!(hit.map(|(bound, _)| bound), Some(bound), "{time}");
        }
    }

    #[test]
    fn fine_starts_at_ten_microseconds() {
        let mut histogram = Histogram::fine();
        histogram.observe(10 * MICROSECOND);
        histogram.observe(11 * MICROSECOND);
        let first: Vec<_> = histogram.buckets().take(2).collect();
        assert_eq!(first, [(0.000_01, 1), (0.000_02, 1)]);
    }
}
