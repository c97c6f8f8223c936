//! A panic on demand, so that a test can show what one costs.

#[cfg(feature = "faults")]
mod armed {
    use std::any::Any;
    use std::cell::RefCell;

    thread_local! {
        static ARMED: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// The next pass of a place panics: `submit`, `offered`, `upstream`, `timer`,
    /// `release` or `done`.
    pub fn arm(place: String) {
        ARMED.set(Some(place));
    }

    const MESSAGE: &str = "a fault test has armed this panic";

    /// Whether a panic is one that was armed.
    pub fn is_of_test(panic: &Box<dyn Any + Send>) -> bool {
        panic.downcast_ref::<&str>() == Some(&MESSAGE)
    }

    /// Nothing is armed any more.
    pub fn disarm() {
        ARMED.set(None);
    }

    pub fn check(place: &str) {
        let armed = ARMED.with_borrow(|armed| armed.as_deref() == Some(place));
        if armed {
            ARMED.set(None);
            std::panic::panic_any(MESSAGE);
        }
    }
}

#[cfg(feature = "faults")]
pub use armed::{arm, check, disarm, is_of_test};

#[cfg(not(feature = "faults"))]
pub fn check(_place: &str) {}
