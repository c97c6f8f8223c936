//! Arguments from Python, checked.

use penstock_admission::Health;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// An index below `count`. `what`: what it is an index of, for the error.
pub(crate) fn known(what: &str, index: u16, count: usize) -> PyResult<u16> {
    if usize::from(index) < count {
        Ok(index)
    } else {
        Err(PyValueError::new_err(format!("no {what} {index}")))
    }
}

pub(crate) fn health_of(name: &str) -> PyResult<Health> {
    match name {
        "healthy" => Ok(Health::Healthy),
        "down" => Ok(Health::Down),
        "unknown" => Ok(Health::Unknown),
        other => Err(PyValueError::new_err(format!("no health {other:?}"))),
    }
}
