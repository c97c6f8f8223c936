//! Time is passed in, never read: nanoseconds of a monotonic clock.

/// Nanoseconds of a monotonic clock, counted from any fixed moment.
pub type Nanos = u64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

/// Seconds as configured, in nanoseconds.
pub fn seconds(value: f64) -> Nanos {
    (value * SECOND as f64) as Nanos
}

/// Nanoseconds in seconds.
pub fn in_seconds(value: Nanos) -> f64 {
    value as f64 / SECOND as f64
}
