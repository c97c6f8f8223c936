//! The way in of one connection: its transport, or the poller once the socket is watched there.

use std::cell::Cell;
use std::rc::Rc;

use penstock_core::worker::Key;
use pyo3::prelude::*;

use crate::poller::{Reader, Watch};
use crate::socket::Socket;

/// Who reads the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Transport,
    Poller(Key),
    /// Nobody for now, and the poller again after that.
    Paused(Key),
}

#[derive(Debug)]
pub(crate) struct ReadHalf {
    socket: Option<(Socket, Rc<Watch>)>,
    by: Cell<By>,
    pause_reading: Py<PyAny>,
    resume_reading: Py<PyAny>,
}

impl ReadHalf {
    /// The way in of a transport. `socket`: what is under it, if that may be read.
    pub(crate) fn of(
        transport: &Bound<'_, PyAny>,
        socket: Option<(Socket, Rc<Watch>)>,
    ) -> PyResult<Self> {
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let (pause_reading, resume_reading) = (method("pause_reading")?, method("resume_reading")?);
        Ok(ReadHalf { socket, by: Cell::new(By::Transport), pause_reading, resume_reading })
    }

    /// From now on the poller reads, if it can; paused or not.
    pub(crate) fn watch(&self, py: Python<'_>, reader: impl FnOnce() -> Reader) -> PyResult<()> {
        let (By::Transport, Some((socket, watch))) = (self.by.get(), &self.socket) else {
            return Ok(());
        };
        self.pause_reading.call0(py)?;
        match watch.add(*socket, reader()) {
            Some(key) => self.by.set(By::Poller(key)),
            None => drop(self.resume_reading.call0(py)?),
        }
        Ok(())
    }

    /// Stops or resumes reading. What is returned is to be called for that.
    pub(crate) fn set_paused(&self, py: Python<'_>, paused: bool) -> Option<Py<PyAny>> {
        match (self.by.get(), &self.socket, paused) {
            (By::Poller(key), Some((_, watch)), true) => {
                watch.pause(key);
                self.by.set(By::Paused(key));
                None
            }
            (By::Paused(key), Some((_, watch)), false) => {
                watch.resume(key);
                self.by.set(By::Poller(key));
                None
            }
            (By::Transport, _, true) => Some(self.pause_reading.clone_ref(py)),
            (By::Transport, _, false) => Some(self.resume_reading.clone_ref(py)),
            _ => None,
        }
    }

    /// The same at once, for whoever borrows nothing.
    pub(crate) fn set_paused_now(&self, py: Python<'_>, paused: bool) -> PyResult<()> {
        self.set_paused(py, paused).map_or(Ok(()), |method| method.call0(py).map(|_| ()))
    }

    /// Whoever gets the transport finds it as it was.
    pub(crate) fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        if self.by.get() == By::Transport {
            return Ok(());
        }
        self.close();
        self.resume_reading.call0(py).map(|_| ())
    }

    /// Nothing is read here any more.
    pub(crate) fn close(&self) {
        if let (By::Poller(key) | By::Paused(key), Some((_, watch))) =
            (self.by.replace(By::Transport), &self.socket)
        {
            watch.forget(key);
        }
    }
}

impl Drop for ReadHalf {
    fn drop(&mut self) {
        self.close();
    }
}
