//! What arrives from a client, and when it is read.

use std::rc::Rc;

use penstock_core::client::Received;
use pyo3::prelude::*;

use super::connection::{LaneConnection, LaneHandle};
use crate::io::{Peer, ReadEvent, ReadHalf, ReadHandler};

impl ReadHandler for LaneHandle {
    fn handle(&self, py: Python<'_>, event: ReadEvent<'_>) -> PyResult<()> {
        match event {
            ReadEvent::Data(data) => LaneConnection::received(self.0.bind(py), data),
            ReadEvent::Eof => self.0.borrow(py).force_close(py),
            ReadEvent::Error => {
                self.0.borrow(py).leave(py);
                self.0.borrow(py).abort(py)
            }
        }
    }
}

impl LaneConnection {
    pub(super) fn received(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        let this = slf.borrow();
        let received = this.connection.borrow_mut().received(data, this.runner.last_event());
        match received {
            Received::Step => Self::advance(slf, data),
            Received::Kept => Ok(()),
            Received::StopReading => {
                Self::use_poller(slf)?;
                let read_half = this.read_half();
                read_half.map_or(Ok(()), |half| half.set_paused_now(slf.py(), true))
            }
        }
    }

    /// Moves reading to the poller, if there is one.
    pub(super) fn use_poller(slf: &Bound<'_, Self>) -> PyResult<()> {
        let read_half = slf.borrow().read_half();
        read_half.map_or(Ok(()), |half| {
            half.use_poller(slf.py(), Peer::Client, || Rc::new(LaneHandle(slf.clone().unbind())))
        })
    }

    pub(super) fn resume_reading(&self, py: Python<'_>) -> PyResult<()> {
        self.read_half().map_or(Ok(()), |half| half.set_paused_now(py, false))
    }

    pub(super) fn read_half(&self) -> Option<Rc<ReadHalf>> {
        self.transport.borrow().as_ref().map(|transport| transport.read_half.clone())
    }
}
