//! The only clock: the core is told the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use penstock_core::time::{Nanos, Now};

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    pub(crate) fn mono(&self) -> Nanos {
        self.start.elapsed().as_nanos() as Nanos
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.mono(), unix: unix_seconds() as u64 }
    }
}

pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
