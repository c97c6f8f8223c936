//! A panic on demand, so that a test can show what one costs.

#[cfg(feature = "faults")]
mod armed {
    use std::cell::RefCell;

    use pyo3::prelude::*;

    thread_local! {
        static ARMED: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// The next pass of a place panics: `submit`, `offered`, `upstream`, `timer`,
    /// `release` or `done`.
    #[pyfunction]
    pub(crate) fn arm_panic(place: String) {
        ARMED.set(Some(place));
    }

    pub(crate) fn check(place: &str) {
        let armed = ARMED.with_borrow(|armed| armed.as_deref() == Some(place));
        if armed {
            ARMED.set(None);
            panic!("a fault test has armed this panic");
        }
    }
}

#[cfg(feature = "faults")]
pub(crate) use armed::{arm_panic, check};

#[cfg(not(feature = "faults"))]
pub(crate) fn check(_place: &str) {}
