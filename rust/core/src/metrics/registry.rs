//! All metrics, in the shared segment. Each worker has its own shard and is its only writer, so counting
//! needs no lock, and a restarted worker continues the counts of its predecessor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_admission::Histogram;
use penstock_admission::shm::{Layout, Open, Region};

use super::definitions::{GAUGES, Gauge, TOTALS, TierHistogram, Total};
use super::series::{Drift, Series};
use crate::exchange::{AttemptResult, Outcome, Record, Served};
use crate::routing::{BackendIndex, TierIndex};
use crate::time::Nanos;

/// Labelled counters of a shard.
const SERIES: usize = 2048;
const BUCKETS: usize = Histogram::BUCKETS;

/// A labelled counter: its key (0: none), and the count.
type Counter = [AtomicU64; 2];
/// A histogram: the counts of its buckets, then the sum.
type Cell = [AtomicU64; BUCKETS + 1];

/// The offsets of the metrics in the segment.
#[derive(Debug, Clone, Copy)]
pub struct RegistryParts {
    series: Open<Counter>,
    times: Open<Cell>,
    totals: Open<AtomicU64>,
    gauges: Open<AtomicU64>,
    shards: usize,
    tiers: usize,
}

impl RegistryParts {
    /// Reserves one shard for each worker and one for the control process.
    pub fn add(layout: &mut Layout, workers: usize, tiers: usize) -> Self {
        let shards = workers + 1;
        RegistryParts {
            series: layout.open(shards * SERIES),
            times: layout.open(shards * tiers * TierHistogram::ALL.len()),
            totals: layout.open(shards * TOTALS),
            gauges: layout.open(shards * GAUGES),
            shards,
            tiers,
        }
    }
}

/// Reads the metrics of all processes.
#[derive(Debug, Clone)]
pub struct Registry {
    region: Arc<Region>,
    parts: RegistryParts,
}

impl Registry {
    pub fn new(region: Arc<Region>, parts: RegistryParts) -> Self {
        Registry { region, parts }
    }

    /// The shard that one worker writes.
    pub fn shard(&self, worker: u16) -> Shard {
        Shard { registry: self.clone(), index: usize::from(worker) }
    }

    /// The shard of the control process.
    pub fn control(&self) -> Shard {
        Shard { registry: self.clone(), index: self.parts.shards - 1 }
    }

    /// Every labelled counter, summed over the shards.
    pub fn series(&self) -> Vec<(Series, u64)> {
        let mut sums = BTreeMap::new();
        for [key, count] in self.region.open(self.parts.series) {
            let key = key.load(Ordering::Acquire);
            if key != 0 {
                *sums.entry(key).or_insert(0) += count.load(Ordering::Relaxed);
            }
        }
        sums.into_iter().filter_map(|(key, count)| Some((Series::of_key(key)?, count))).collect()
    }

    pub fn histogram(&self, tier: TierIndex, histogram: TierHistogram) -> Histogram {
        let mut all = histogram.empty();
        for shard in 0..self.parts.shards {
            let [counts @ .., sum] = self.cell(shard, tier, histogram);
            let counts = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            all.merge(&counts, sum.load(Ordering::Relaxed));
        }
        all
    }

    pub fn total(&self, total: Total) -> u64 {
        let all = self.region.open(self.parts.totals);
        (0..self.parts.shards)
            .map(|shard| all[shard * TOTALS + total as usize].load(Ordering::Relaxed))
            .sum()
    }

    pub fn gauge(&self, worker: u16, gauge: Gauge) -> u64 {
        let at = usize::from(worker) * GAUGES + gauge as usize;
        self.region.open(self.parts.gauges)[at].load(Ordering::Relaxed)
    }

    fn cell(&self, shard: usize, tier: TierIndex, histogram: TierHistogram) -> &Cell {
        let at = (shard * self.parts.tiers + usize::from(tier)) * TierHistogram::ALL.len()
            + histogram as usize;
        &self.region.open(self.parts.times)[at]
    }
}

/// Writes the metrics of one process.
#[derive(Debug, Clone)]
pub struct Shard {
    registry: Registry,
    index: usize,
}

/// Adds to a counter with a single writer, so no atomic read-modify-write is needed.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Shard {
    /// Counts one finished request; called once for each, whatever its status.
    pub fn finished(&self, record: &Record) {
        let Served { tier, model, backend } = record.served;
        let (outcome, term) = (record.outcome, record.term);
        self.count(Series::Requests { tier, model, backend, outcome, term }, 1);
        if outcome == Outcome::Rejected
            && let Some(code) = record.code
        {
            self.count(Series::Shed { tier, code }, 1);
        }
        if let Some(backend) = backend {
            for (rule, count) in record.rules.iter() {
                self.count(Series::Normalised { backend, rule }, u64::from(count));
            }
        }
        if outcome == Outcome::ClientAbort {
            self.add(Total::ClientAborts, 1);
        }
        self.add(Total::PromptTokens, record.prompt_tokens.unwrap_or(0));
        self.add(Total::OutputTokens, record.output_tokens.unwrap_or(0));
        let Some(tier) = tier else { return };
        if let Some(queued) = record.queued {
            self.observe(tier, TierHistogram::QueueWait, queued);
        }
        if let Some(first) = record.first {
            self.observe(tier, TierHistogram::FirstToken, first);
        }
        let [counts @ .., sum] = self.registry.cell(self.index, tier, TierHistogram::InterToken);
        for (count, more) in counts.iter().zip(record.gaps.counts()) {
            add(count, *more);
        }
        add(sum, record.gaps.sum());
        self.observe(tier, TierHistogram::Duration, record.total);
    }

    /// Records the time that Penstock itself spent on one request: from arrival to the upstream write, and from the
    /// upstream read to the client write.
    pub fn overhead(&self, tier: TierIndex, time: Nanos) {
        self.observe(tier, TierHistogram::Overhead, time);
    }

    pub fn attempt(&self, backend: BackendIndex, result: AttemptResult) {
        self.count(Series::Attempts { backend, result }, 1);
    }

    pub fn drift(&self, backend: BackendIndex, signal: Drift) {
        self.count(Series::Drift { backend, signal }, 1);
    }

    pub fn add(&self, total: Total, more: u64) {
        let at = self.index * TOTALS + total as usize;
        add(&self.registry.region.open(self.registry.parts.totals)[at], more);
    }

    pub fn set(&self, gauge: Gauge, value: u64) {
        let at = self.index * GAUGES + gauge as usize;
        self.registry.region.open(self.registry.parts.gauges)[at].store(value, Ordering::Relaxed);
    }

    fn observe(&self, tier: TierIndex, histogram: TierHistogram, time: Nanos) {
        let [counts @ .., sum] = self.registry.cell(self.index, tier, histogram);
        add(&counts[histogram.empty().bucket(time)], 1);
        add(sum, time);
    }

    /// Adds to a labelled counter, found by linear probing from the hash of its key.
    fn count(&self, series: Series, more: u64) {
        let key = series.key();
        let all = self.registry.region.open(self.registry.parts.series);
        let own = &all[self.index * SERIES..][..SERIES];
        let start = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        for step in 0..SERIES {
            let [found, count] = &own[(start + step) % SERIES];
            match found.load(Ordering::Relaxed) {
                at if at == key => return add(count, more),
                0 => {
                    add(count, more);
                    // Release: a reader that sees the key also sees its count.
                    return found.store(key, Ordering::Release);
                }
                _ => {}
            }
        }
        self.add(Total::SeriesDropped, 1);
    }
}
