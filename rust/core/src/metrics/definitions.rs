//! The metrics without labels of their own: histograms of a tier, plain counters, gauges of a worker.

use penstock_admission::Histogram;

/// The histograms of each tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TierHistogram {
    QueueWait,
    FirstToken,
    InterToken,
    Duration,
    Overhead,
}

impl TierHistogram {
    pub const ALL: [TierHistogram; 5] = [
        TierHistogram::QueueWait,
        TierHistogram::FirstToken,
        TierHistogram::InterToken,
        TierHistogram::Duration,
        TierHistogram::Overhead,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TierHistogram::QueueWait => "queue_wait",
            TierHistogram::FirstToken => "first_token",
            TierHistogram::InterToken => "inter_token",
            TierHistogram::Duration => "duration",
            TierHistogram::Overhead => "overhead",
        }
    }

    pub(super) fn empty(self) -> Histogram {
        match self {
            TierHistogram::InterToken | TierHistogram::Overhead => Histogram::fine(),
            _ => Histogram::coarse(),
        }
    }
}

/// Counters without labels. `TOTALS` is their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    PromptTokens,
    OutputTokens,
    ClientAborts,
    PermitsLeaked,
    LogDropped,
    /// Increments lost because the table of labelled counters was full.
    SeriesDropped,
}

/// Current values of one worker. `GAUGES` is their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gauge {
    Connections,
    /// Nanoseconds.
    LoopLag,
    IdleUpstreams,
    /// When it last ran its timers (monotonic nanoseconds); an old value means that it hangs.
    Beat,
    /// Process id; 0: no process.
    Pid,
}

pub(super) const TOTALS: usize = 6;
pub(super) const GAUGES: usize = 5;
