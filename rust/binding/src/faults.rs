//! A panic on demand, so that tests can show which requests it ends.

use penstock_core::worker::faults;
use pyo3::prelude::*;

/// Makes the next pass of a place panic: `submit`, `offered`, `upstream`, `timer`, `release` or `done`.
#[pyfunction]
pub(crate) fn arm_panic(place: String) {
    faults::arm(place);
}
