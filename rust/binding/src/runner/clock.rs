//! Reads the clocks. The core never does: it gets the time with each event.

use std::time::{SystemTime, UNIX_EPOCH};

use penstock_admission::shm::monotonic;
use penstock_core::time::{Nanos, Now};

/// Both clocks for the cost of reading one: the wall clock is read when this is made, once a tick, and follows the
/// monotonic one from then on.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The wall clock minus the monotonic one.
    offset: Nanos,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { offset: (unix.as_nanos() as Nanos).wrapping_sub(monotonic()) }
    }

    /// The monotonic clock is the machine's, the same for all processes.
    pub(crate) fn now(&self) -> Now {
        let mono = monotonic();
        Now { mono, unix: mono.wrapping_add(self.offset) }
    }
}
