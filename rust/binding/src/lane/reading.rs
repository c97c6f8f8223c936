//! What comes from a client's socket, and when it is read.

use std::rc::Rc;

use penstock_core::client::Received;
use pyo3::prelude::*;

use super::LaneConnection;
use crate::poller::{Incoming, Reader};
use crate::read_half::ReadHalf;

impl LaneConnection {
    /// Something has come from the socket.
    pub(crate) fn incoming(slf: &Bound<'_, Self>, incoming: Incoming<'_>) -> PyResult<()> {
        match incoming {
            Incoming::Bytes(data) => Self::received(slf, data),
            Incoming::End => slf.borrow().force_close(slf.py()),
            Incoming::Broken => {
                slf.borrow().leave(slf.py());
                slf.borrow().abort(slf.py())
            }
        }
    }

    pub(super) fn received(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        let this = slf.borrow();
        let received = this.connection.borrow_mut().received(data, this.latest(slf.py()));
        match received {
            Received::Step => Self::advance(slf, data),
            Received::Kept => Ok(()),
            Received::StopReading => this.read_half().map_or(Ok(()), |half| {
                half.watch(slf.py(), || Reader::Client(slf.clone().unbind()))?;
                half.set_paused_now(slf.py(), true)
            }),
        }
    }

    pub(super) fn read_on(&self, py: Python<'_>) -> PyResult<()> {
        self.read_half().map_or(Ok(()), |half| half.set_paused_now(py, false))
    }

    pub(super) fn read_half(&self) -> Option<Rc<ReadHalf>> {
        self.transport.borrow().as_ref().map(|transport| transport.read_half.clone())
    }

    /// Has the transport `close` or `abort`.
    pub(super) fn end(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.read_half().inspect(|half| half.close());
        let transport = self.transport_object(py);
        transport.map_or(Ok(()), |object| object.call_method0(py, method).map(|_| ()))
    }
}
