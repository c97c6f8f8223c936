//! What is counted. The numbers live here; their text form is made on the Python side.

mod registry;
mod series;

pub use penstock_admission::Histogram;
pub use registry::{Gauge, Registry, RegistryParts, Shard, Times, Total};
pub use series::{Drift, Series};
