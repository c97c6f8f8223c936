//! A panic on demand, so that a test can show what one costs.

use penstock_core::worker::faults;
use pyo3::prelude::*;

/// The next pass of a place panics: `submit`, `offered`, `upstream`, `timer`, `release` or `done`.
#[pyfunction]
pub(crate) fn arm_panic(place: String) {
    faults::arm(place);
}
