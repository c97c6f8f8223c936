//! The asyncio protocol of a connection to a backend.

use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use penstock_core::worker::ConnectionId;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::io::{ReadEvent, ReadHandler};
use crate::runner::{Connector, UpstreamTransport, WorkerRunner};

/// A connection to one backend. The worker decides about it; the event loop drives it.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    runner: Rc<WorkerRunner>,
    backend: BackendIndex,
    id: ConnectionId,
    transport: Rc<UpstreamTransport>,
}

/// Opens connections by a Python function, which is called with a backend and a protocol for its connection.
#[derive(Debug)]
pub(crate) struct PythonConnector(pub(crate) Py<PyAny>);

impl Connector for PythonConnector {
    fn connect(
        &self,
        py: Python<'_>,
        runner: &Rc<WorkerRunner>,
        backend: BackendIndex,
        id: ConnectionId,
        transport: Rc<UpstreamTransport>,
    ) -> PyResult<Py<PyAny>> {
        let protocol = UpstreamConnection { runner: runner.clone(), backend, id, transport };
        self.0.call1(py, (backend, Py::new(py, protocol)?))
    }
}

/// Handles what the poller reads for a connection.
#[derive(Debug)]
struct UpstreamReader(Py<UpstreamConnection>);

impl ReadHandler for UpstreamReader {
    fn handle(&self, py: Python<'_>, event: ReadEvent<'_>) -> PyResult<()> {
        let this = self.0.borrow(py);
        match event {
            ReadEvent::Data(data) => {
                this.runner.upstream_data(py, this.id, data);
                Ok(())
            }
            ReadEvent::Eof => {
                this.runner.upstream_eof(py, this.id);
                this.transport.end(py, false)
            }
            ReadEvent::Error => {
                this.runner.upstream_lost(py, this.id, true);
                this.transport.end(py, true)
            }
        }
    }
}

#[pymethods]
impl UpstreamConnection {
    fn connection_made(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.transport.set_open(transport, self.runner.poll_set.clone())? {
            self.runner.connected(transport.py(), self.id);
        }
        Ok(())
    }

    /// The first bytes arrive here, and all of them where no poller reads the socket.
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        this.transport.use_poller(py, || Rc::new(UpstreamReader(slf.clone().unbind())))?;
        this.runner.upstream_data(py, this.id, data.as_bytes());
        Ok(())
    }

    /// The backend has closed its side. Returning nothing makes the transport close too.
    fn eof_received(&self, py: Python<'_>) {
        self.runner.upstream_eof(py, self.id);
    }

    #[pyo3(signature = (exc))]
    fn connection_lost(&self, py: Python<'_>, exc: Option<&Bound<'_, PyAny>>) {
        self.runner.upstream_lost(py, self.id, exc.is_some());
        self.transport.set_lost();
    }

    /// The connection could not be made. `kind`: `refused`, `connect`, `timeout` or `tls`.
    fn connect_failed(&self, py: Python<'_>, kind: &str, detail: &str) {
        self.runner.connect_failed(py, self.id, kind, detail);
    }

    #[allow(clippy::unused_self)] // part of the protocol interface
    fn pause_writing(&self) {}

    #[allow(clippy::unused_self)] // part of the protocol interface
    fn resume_writing(&self) {}

    fn __repr__(&self) -> String {
        let Some((state, is_reused)) = self.runner.describe(self.id) else {
            return format!("<UpstreamConnection backend {} busy>", self.backend);
        };
        let reused = if is_reused { ", reused" } else { "" };
        format!("<UpstreamConnection backend {} {state}{reused}>", self.backend)
    }
}
