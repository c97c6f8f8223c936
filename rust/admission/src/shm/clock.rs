//! The clock that all processes of a machine share.

use crate::time::{Nanos, SECOND};

/// Nanoseconds of `CLOCK_MONOTONIC`: never set, never back, the same in every process.
pub fn monotonic() -> Nanos {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is ours to write.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    assert_eq!(result, 0, "Linux always has this clock");
    now.tv_sec as Nanos * SECOND + now.tv_nsec as Nanos
}

/// A moment of [`monotonic`] as the C library takes it.
pub(super) fn timespec(at: Nanos) -> libc::timespec {
    libc::timespec { tv_sec: (at / SECOND).cast_signed(), tv_nsec: (at % SECOND).cast_signed() }
}
