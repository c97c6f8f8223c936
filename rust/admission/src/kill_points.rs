//! Places where a test may let a worker die in the middle of an operation. Debug builds only; in release
//! builds they are nothing.
//!
//! A point precedes each mutable access to a part of the segment, each change of a row's state and each step
//! of a heap, all of it while the lock is held, and stands between the unlock and the waking of other workers.
//! [`kill_after`] abandons an operation at one of them: it unwinds, leaves the memory as it is, and leaves the
//! lock as a dead holder would, so that whoever takes it next finds it inconsistent and rebuilds. After that
//! the supervisor's part is the same as after a real death: [`reclaim`](crate::Admission::reclaim) what the
//! dead worker held, then [`begin_worker`](crate::Admission::begin_worker).
//!
//! A worker that *stops* there is killed by the watchdog a second later, and nobody gets the lock meanwhile.
//! So on virtual time a stop is a kill, after which time passes for all others.
//!
//! Between two points lie the stores of one mutable access, of which this shows none or all. The crash tests
//! of this crate show each of them: they trace a process instruction by instruction.

#[cfg(debug_assertions)]
pub use enabled::kill_after;
#[cfg(debug_assertions)]
pub(crate) use enabled::point;

#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn point() {}

#[cfg(debug_assertions)]
mod enabled {
    use std::cell::Cell;
    use std::panic::{self, AssertUnwindSafe};

    thread_local! {
        /// Points until the death; 0: none is planned.
        static LEFT: Cell<u64> = const { Cell::new(0) };
    }

    /// The payload of the panic that stands for a death.
    struct Killed;

    /// Dies here if [`kill_after`] says so.
    #[inline]
    pub(crate) fn point() {
        let left = LEFT.get();
        if left > 0 {
            LEFT.set(left - 1);
            if left == 1 {
                // Without the panic hook: this is no error.
                panic::resume_unwind(Box::new(Killed));
            }
        }
    }

    /// Runs an operation of this thread, and abandons it at its `points`th point. Returns what the operation
    /// returned, or `None` if it died before.
    ///
    /// Panics if `points` is 0, and with whatever the operation panics.
    pub fn kill_after<R>(points: u64, operation: impl FnOnce() -> R) -> Option<R> {
        assert!(points > 0, "the first point is 1");
        LEFT.set(points);
        let result = panic::catch_unwind(AssertUnwindSafe(operation));
        LEFT.set(0);
        match result {
            Ok(result) => Some(result),
            Err(payload) if payload.is::<Killed>() => None,
            Err(payload) => panic::resume_unwind(payload),
        }
    }
}
