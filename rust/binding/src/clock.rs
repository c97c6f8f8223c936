//! The only clock: the core is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

use penstock_admission::shm::monotonic;
use penstock_core::time::{Nanos, Now};

/// Both clocks at the price of one reading: the wall clock is read once a tick, and goes on with the
/// monotonic one in between.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The wall clock less the monotonic one.
    ahead: Nanos,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { ahead: (unix.as_nanos() as Nanos).wrapping_sub(monotonic()) }
    }

    /// Monotonic time is that of the machine, the same for all processes.
    pub(crate) fn now(&self) -> Now {
        let mono = monotonic();
        Now { mono, unix: mono.wrapping_add(self.ahead) }
    }
}
