//! A panic on demand, so that a test can show what one costs.

#[cfg(feature = "faults")]
mod armed {
    use std::cell::Cell;

    use pyo3::prelude::*;

    thread_local! {
        static ARMED: Cell<bool> = const { Cell::new(false) };
    }

    /// The next bytes of any backend panic inside the core.
    #[pyfunction]
    pub(crate) fn arm_panic() {
        ARMED.set(true);
    }

    pub(crate) fn check() {
        assert!(!ARMED.replace(false), "a fault test has armed this panic");
    }
}

#[cfg(feature = "faults")]
pub(crate) use armed::{arm_panic, check};

#[cfg(not(feature = "faults"))]
pub(crate) fn check() {}
