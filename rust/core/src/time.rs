//! Time is always passed in; the core never reads a clock.

mod wheel;

pub use penstock_admission::time::{MILLISECOND, Nanos, SECOND, in_seconds, seconds};
pub use wheel::TimerWheel;

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub mono: Nanos,
    /// Nanoseconds since 1970, for `date`, `created` and the log only.
    pub unix: Nanos,
}

impl Now {
    pub fn unix_seconds(self) -> u64 {
        self.unix / SECOND
    }
}
