//! Calls into Python that must wait until the worker is no longer borrowed.

use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use penstock_core::worker::ConnectionId;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::client_side::AnswerListener;
use super::upstream_transport::UpstreamTransport;
use crate::io::WriteHalf;

#[derive(Debug)]
pub(super) enum Deferred {
    /// Have a transport write what its socket did not take.
    Write(Rc<WriteHalf>, Py<PyBytes>),
    /// Call a method without arguments: close, abort, half-close, pause, resume.
    Call(Py<PyAny>),
    /// An answer is complete.
    AnswerDone { listener: Rc<dyn AnswerListener>, keep_alive: bool },
    /// Open a connection to a backend.
    Connect { id: ConnectionId, backend: BackendIndex, transport: Rc<UpstreamTransport> },
}

impl Deferred {
    /// `connect` opens a connection and returns the task that does so. An exception here comes from a transport that is
    /// closing; its `connection_lost` follows.
    pub(super) fn run(
        self,
        py: Python<'_>,
        connect: impl FnOnce(ConnectionId, BackendIndex, Rc<UpstreamTransport>) -> PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        match self {
            Deferred::Write(write_half, data) => write_half.write(py, data),
            Deferred::Call(method) => method.call0(py).map(|_| ()),
            Deferred::AnswerDone { listener, keep_alive } => listener.answer_done(py, keep_alive),
            Deferred::Connect { id, backend, transport } => {
                let task = connect(id, backend, transport.clone())?;
                transport.set_connecting(task);
                Ok(())
            }
        }
    }
}
