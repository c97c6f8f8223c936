//! What the client's side holds of its request.

use pyo3::prelude::*;

use crate::calls::CallKey;
use crate::gateway::Gateway;

/// One request in hand. It outlives its answer harmlessly: every method is then without effect.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Call {
    gateway: Py<Gateway>,
    key: CallKey,
}

impl Call {
    pub(crate) fn new(gateway: Py<Gateway>, key: CallKey) -> Self {
        Call { gateway, key }
    }
}

#[pymethods]
impl Call {
    /// The client has left: nothing more is written to it, and the backend is told at once.
    pub(crate) fn gone(&self, py: Python<'_>) {
        Gateway::client_gone(self.gateway.bind(py), self.key);
    }

    /// The client's transport is full: stop reading the backend.
    pub(crate) fn pause(&self, py: Python<'_>) {
        Gateway::client_flow(self.gateway.bind(py), self.key, true);
    }

    /// The client reads again.
    pub(crate) fn resume(&self, py: Python<'_>) {
        Gateway::client_flow(self.gateway.bind(py), self.key, false);
    }
}
