//! Counters, gauges and histograms. Python formats them for `/metrics`.
//!
//! To add a metric:
//!
//! 1. Define it: a labelled counter as a variant of [`Series`] with its key (`series.rs`); a counter without labels, a
//!    gauge of a worker or a histogram of a tier as a variant of [`Total`], [`Gauge`] or [`TierHistogram`]
//!    (`definitions.rs`).
//! 2. Count it through the worker's [`Shard`]. What depends only on a finished request is counted in
//!    [`Shard::finished`], from its `exchange::Record`.
//! 3. Pass it to Python in `binding/src/snapshot.rs`, and name it in `python/penstock/metrics/exposition.py`.
//! 4. Explain it in `penstock guide metrics`.

mod definitions;
mod registry;
mod series;

pub use definitions::{Gauge, TierHistogram, Total};
pub use penstock_admission::Histogram;
pub use registry::{Registry, RegistryParts, Shard};
pub use series::{Drift, Series};
