//! What the stub, the generator and the pipe have in common.

pub mod alarm;
pub mod answer;
pub mod histogram;
pub mod options;
pub mod request;
pub mod text;

use std::time::{Duration, Instant};

/// Nanoseconds since `start`.
pub fn since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

/// How long to wait until `due`; not at all if it has passed.
pub fn until(due: u64, now: u64) -> Duration {
    Duration::from_nanos(due.saturating_sub(now))
}
