//! What is counted. The numbers live here; their text form is made on the Python side.

mod histogram;
mod registry;

pub use histogram::Histogram;
pub use registry::{Registry, RequestLabels, TierHistograms};
