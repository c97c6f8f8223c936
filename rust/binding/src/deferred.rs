//! Calls into Python that an event has led to, run when nothing is borrowed any more.

use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::client::Done;
use crate::upstream::UpstreamConnection;
use crate::write_half::WriteHalf;

#[derive(Debug)]
pub(crate) enum Deferred {
    /// Have a transport write what its socket did not take.
    Write(Rc<WriteHalf>, Py<PyBytes>),
    /// Call a method without arguments: close, abort, half-close, pause, resume.
    Call(Py<PyAny>),
    /// Tell the client's side that its answer is complete. The flag: the connection stays open.
    Done(Done, bool),
    /// Ask for a connection to a backend.
    Connect(BackendIndex, Py<UpstreamConnection>),
}

impl Deferred {
    /// An exception here comes from a transport that is going away; its `connection_lost` will tell.
    pub(crate) fn run(self, py: Python<'_>, connector: &Py<PyAny>) -> PyResult<()> {
        match self {
            Deferred::Write(half, data) => half.write(py, data),
            Deferred::Call(method) => method.call0(py).map(|_| ()),
            Deferred::Done(done, keep_alive) => done.tell(py, keep_alive),
            Deferred::Connect(backend, connection) => {
                let task = connector.call1(py, (backend, connection.clone_ref(py)))?;
                connection.borrow(py).set_connecting(task);
                Ok(())
            }
        }
    }
}
