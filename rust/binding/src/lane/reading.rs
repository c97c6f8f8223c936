//! What comes from a client's socket, and when it is read.

use std::rc::Rc;

use pyo3::prelude::*;

use super::LaneConnection;
use crate::inlet::Inlet;
use crate::poller::{Came, Reader};

/// A client that sends ahead is read no further than this beyond the request in hand.
const AHEAD: usize = 64 << 10;

impl LaneConnection {
    /// Something has come from the socket.
    pub(crate) fn came(slf: &Bound<'_, Self>, came: Came<'_>) -> PyResult<()> {
        match came {
            Came::Bytes(data) => Self::received(slf, data),
            Came::End => slf.borrow().force_close(slf.py()),
            Came::Broken => {
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
            Some(true) => this.inlet().map_or(Ok(()), |inlet| {
                inlet.watch(slf.py(), || Reader::Client(slf.clone().unbind()))?;
                inlet.flow_now(slf.py(), true)
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
        match self.inlet() {
            Some(inlet) if may_read => inlet.flow_now(py, false),
            _ => Ok(()),
        }
    }

    pub(super) fn inlet(&self) -> Option<Rc<Inlet>> {
        self.state.borrow().transport.as_ref().map(|transport| transport.inlet.clone())
    }

    /// Has the transport `close` or `abort`.
    pub(super) fn end(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.inlet().inspect(|inlet| inlet.close());
        self.transport(py).map_or(Ok(()), |object| object.call_method0(py, method).map(|_| ()))
    }
}
