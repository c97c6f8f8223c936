//! Decide under the borrow, act after it: the calls into Python that a decision has led to.
//!
//! A transport's `write` may call back into Penstock (`pause_writing`) before it returns, so no
//! state is borrowed while these run.

use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::calls::Done;
use crate::outlet::Outlet;
use crate::upstream::UpstreamConnection;

#[derive(Debug)]
pub(crate) enum Act {
    /// Have a transport write what its socket did not take.
    Write(Rc<Outlet>, Py<PyBytes>),
    /// Call a method without arguments: close, abort, half-close, pause, resume.
    Call(Py<PyAny>),
    /// Tell the client's side that its answer is complete. The flag: the connection stays open.
    Done(Done, bool),
    /// Ask for a connection to a backend.
    Connect(BackendIndex, Py<UpstreamConnection>),
}

impl Act {
    /// An exception here comes from a transport that is going away; its `connection_lost` will tell.
    pub(crate) fn run(self, py: Python<'_>, connector: &Py<PyAny>) -> PyResult<()> {
        match self {
            Act::Write(outlet, data) => outlet.write(py, data),
            Act::Call(method) => method.call0(py).map(|_| ()),
            Act::Done(done, keep_alive) => done.tell(py, keep_alive),
            Act::Connect(backend, connection) => {
                let task = connector.call1(py, (backend, connection.clone_ref(py)))?;
                connection.borrow(py).set_connecting(task);
                Ok(())
            }
        }
    }
}
