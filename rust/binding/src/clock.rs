//! The only clock: the core is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

use penstock_core::shm::monotonic;
use penstock_core::time::Now;

/// Monotonic time is that of the machine, the same for all processes.
pub(crate) fn now() -> Now {
    Now { mono: monotonic(), unix: unix_seconds() as u64 }
}

pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
