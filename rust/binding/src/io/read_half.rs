//! The read half of one connection: its transport reads, or the poller once it is registered there.

use std::cell::Cell;
use std::rc::Rc;

use penstock_core::worker::Key;
use pyo3::prelude::*;

use super::poll_set::{Peer, PollSet, ReadHandler};
use super::socket::Socket;

/// Who reads the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadBy {
    Transport,
    Poller(Key),
    /// Nobody until the poller resumes.
    Paused(Key),
}

#[derive(Debug)]
pub(crate) struct ReadHalf {
    socket: Option<(Socket, Rc<PollSet>)>,
    read_by: Cell<ReadBy>,
    pause_reading: Py<PyAny>,
    resume_reading: Py<PyAny>,
}

impl ReadHalf {
    /// `socket`: the transport's socket, if a poller may read it.
    pub(super) fn of_transport(
        transport: &Bound<'_, PyAny>,
        socket: Option<(Socket, Rc<PollSet>)>,
    ) -> PyResult<Self> {
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let (pause_reading, resume_reading) = (method("pause_reading")?, method("resume_reading")?);
        let read_by = Cell::new(ReadBy::Transport);
        Ok(ReadHalf { socket, read_by, pause_reading, resume_reading })
    }

    /// Moves reading from the transport to the poller, if there is one. Has no effect if that was done before.
    pub(crate) fn use_poller(
        &self,
        py: Python<'_>,
        peer: Peer,
        handler: impl FnOnce() -> Rc<dyn ReadHandler>,
    ) -> PyResult<()> {
        let (ReadBy::Transport, Some((socket, poll_set))) = (self.read_by.get(), &self.socket)
        else {
            return Ok(());
        };
        self.pause_reading.call0(py)?;
        match poll_set.register(*socket, peer, handler()) {
            Some(key) => self.read_by.set(ReadBy::Poller(key)),
            None => drop(self.resume_reading.call0(py)?),
        }
        Ok(())
    }

    /// Pauses or resumes reading. Where the transport reads, the caller must call the returned method for that.
    pub(crate) fn set_paused(&self, py: Python<'_>, paused: bool) -> Option<Py<PyAny>> {
        match (self.read_by.get(), &self.socket, paused) {
            (ReadBy::Poller(key), Some((_, poll_set)), true) => {
                poll_set.pause(key);
                self.read_by.set(ReadBy::Paused(key));
                None
            }
            (ReadBy::Paused(key), Some((_, poll_set)), false) => {
                poll_set.resume(key);
                self.read_by.set(ReadBy::Poller(key));
                None
            }
            (ReadBy::Transport, _, true) => Some(self.pause_reading.clone_ref(py)),
            (ReadBy::Transport, _, false) => Some(self.resume_reading.clone_ref(py)),
            _ => None,
        }
    }

    /// As [`Self::set_paused`], and calls the transport's method itself. Not while the worker is borrowed.
    pub(crate) fn set_paused_now(&self, py: Python<'_>, paused: bool) -> PyResult<()> {
        self.set_paused(py, paused).map_or(Ok(()), |method| method.call0(py).map(|_| ()))
    }

    /// Moves reading back to the transport, for its next owner.
    pub(crate) fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        if self.read_by.get() == ReadBy::Transport {
            return Ok(());
        }
        self.close();
        self.resume_reading.call0(py).map(|_| ())
    }

    /// Ends reading by the poller.
    pub(crate) fn close(&self) {
        if let (ReadBy::Poller(key) | ReadBy::Paused(key), Some((_, poll_set))) =
            (self.read_by.replace(ReadBy::Transport), &self.socket)
        {
            poll_set.deregister(key);
        }
    }
}

impl Drop for ReadHalf {
    fn drop(&mut self) {
        self.close();
    }
}
