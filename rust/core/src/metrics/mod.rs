//! What is counted. The numbers live here; their text form is made on the Python side.

mod histogram;
mod registry;
mod series;

pub use histogram::Histogram;
pub use registry::{Gauge, Registry, RegistryParts, Shard, Times, Total};
pub use series::{Drift, Series};
