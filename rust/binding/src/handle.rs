//! `RequestHandle`: what Python's client connection holds of its request.

use std::rc::Rc;

use penstock_core::worker::RequestId;
use pyo3::prelude::*;

use crate::runner::WorkerRunner;

/// One running request. Once it has ended, its methods have no effect.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct RequestHandle {
    runner: Rc<WorkerRunner>,
    id: RequestId,
}

impl RequestHandle {
    pub(crate) fn new(runner: Rc<WorkerRunner>, id: RequestId) -> Self {
        RequestHandle { runner, id }
    }
}

#[pymethods]
impl RequestHandle {
    /// The client has left: nothing more is written to it, and its attempt is aborted at once.
    fn gone(&self, py: Python<'_>) {
        self.runner.client_gone(py, self.id);
    }

    /// The client's transport is full: stop reading the backend.
    fn pause(&self, py: Python<'_>) {
        self.runner.client_flow(py, self.id, true);
    }

    /// The client reads again: resume reading the backend.
    fn resume(&self, py: Python<'_>) {
        self.runner.client_flow(py, self.id, false);
    }
}
