//! A panic on demand, so that a test can show what one costs.

#[cfg(feature = "faults")]
mod armed {
    use std::cell::RefCell;

    thread_local! {
        static ARMED: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// The next pass of a place panics: `submit`, `offered`, `upstream`, `timer`,
    /// `release` or `done`.
    pub fn arm(place: String) {
        ARMED.set(Some(place));
    }

    pub fn check(place: &str) {
        let armed = ARMED.with_borrow(|armed| armed.as_deref() == Some(place));
        if armed {
            ARMED.set(None);
            panic!("a fault test has armed this panic");
        }
    }
}

#[cfg(feature = "faults")]
pub use armed::{arm, check};

#[cfg(not(feature = "faults"))]
pub fn check(_place: &str) {}
