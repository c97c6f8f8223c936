//! What the client's side holds of its request.

use penstock_core::worker::RequestId;
use pyo3::prelude::*;

use crate::gateway::Gateway;

/// One request in hand. It outlives its answer harmlessly: every method is then without effect.
#[pyclass(unsendable, name = "Call", module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct RequestHandle {
    gateway: Py<Gateway>,
    id: RequestId,
}

impl RequestHandle {
    pub(crate) fn new(gateway: Py<Gateway>, id: RequestId) -> Self {
        RequestHandle { gateway, id }
    }
}

#[pymethods]
impl RequestHandle {
    /// The client has left: nothing more is written to it, and the backend is told at once.
    pub(crate) fn gone(&self, py: Python<'_>) {
        Gateway::client_gone(self.gateway.bind(py), self.id);
    }

    /// The client's transport is full: stop reading the backend.
    pub(crate) fn pause(&self, py: Python<'_>) {
        Gateway::client_flow(self.gateway.bind(py), self.id, true);
    }

    /// The client reads again.
    pub(crate) fn resume(&self, py: Python<'_>) {
        Gateway::client_flow(self.gateway.bind(py), self.id, false);
    }
}
