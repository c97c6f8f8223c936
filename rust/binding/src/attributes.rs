//! `RequestAttributes`: tenant, priority and sessions of a request, as Python holds them.

use penstock_core::identity::RequestAttributes as Attributes;
use pyo3::prelude::*;

/// What decides when and where a request runs. Made by `LaneConfig.attributes`.
#[pyclass(frozen, eq, module = "penstock._core")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestAttributes(pub(crate) Attributes);

#[pymethods]
impl RequestAttributes {
    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}
