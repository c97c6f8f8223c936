//! Time as the core sees it: handed in, never read.

mod wheel;

pub use wheel::TimerWheel;

/// Nanoseconds of a monotonic clock, counted from any fixed moment.
pub type Nanos = u64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

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

/// Seconds as configured, in nanoseconds.
pub fn seconds(value: f64) -> Nanos {
    (value * SECOND as f64) as Nanos
}

/// The same the other way round.
pub fn in_seconds(value: Nanos) -> f64 {
    value as f64 / SECOND as f64
}
