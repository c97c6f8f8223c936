//! What comes from a client's socket, and when it is read.

use std::rc::Rc;

use pyo3::prelude::*;

use super::LaneConnection;
use crate::poller::{Incoming, Reader};
use crate::read_half::ReadHalf;

/// A client that sends ahead is read no further than this beyond the request in hand.
const AHEAD: usize = 64 << 10;

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
        let is_ahead = {
            let mut state = this.state.borrow_mut();
            if state.must_wait() {
                state.intake.keep(data);
                state.reading_paused |= state.intake.held() > AHEAD;
                Some(state.reading_paused)
            } else {
                if state.is_idle() {
                    state.since = this.latest(slf.py());
                }
                None
            }
        };
        match is_ahead {
            None => Self::advance(slf, data),
            Some(true) => this.read_half().map_or(Ok(()), |read_half| {
                read_half.watch(slf.py(), || Reader::Client(slf.clone().unbind()))?;
                read_half.set_paused_now(slf.py(), true)
            }),
            Some(false) => Ok(()),
        }
    }

    /// Reads again, unless what has come must still wait. Not before that has come to its end: a client
    /// that always has more would be read without bound.
    pub(super) fn read_on(&self, py: Python<'_>) -> PyResult<()> {
        let may_read = {
            let mut state = self.state.borrow_mut();
            !state.must_wait() && std::mem::take(&mut state.reading_paused)
        };
        match self.read_half() {
            Some(read_half) if may_read => read_half.set_paused_now(py, false),
            _ => Ok(()),
        }
    }

    pub(super) fn read_half(&self) -> Option<Rc<ReadHalf>> {
        self.state.borrow().transport.as_ref().map(|transport| transport.read_half.clone())
    }

    /// Has the transport `close` or `abort`.
    pub(super) fn end(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.read_half().inspect(|read_half| read_half.close());
        self.transport(py).map_or(Ok(()), |object| object.call_method0(py, method).map(|_| ()))
    }
}
