//! Where bytes leave a connection: its socket while nothing is ahead of them, else its transport.
//!
//! A transport's `write` costs a Python object, a queue and a turn of the loop for bytes that the
//! kernel would have taken at once. So they are offered to the kernel first, without a copy, and the
//! transport gets what is left: its buffer, back-pressure and errors are as ever.

use std::cell::Cell;
use std::rc::Rc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::bytes_of;
use crate::deferred::Deferred;
use crate::socket::Socket;

/// What would have to leave before what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Nothing,
    /// An [`Deferred::Write`] that has not run yet.
    Deferred,
    /// Bytes that the transport may still hold.
    Transport,
}

/// The way out of one connection.
#[derive(Debug)]
pub(crate) struct WriteHalf {
    write: Py<PyAny>,
    /// The transport's `get_write_buffer_size`, if there is a transport.
    unsent: Option<Py<PyAny>>,
    /// The way past the transport, if there is one.
    socket: Cell<Option<Socket>>,
    backlog: Cell<Backlog>,
}

impl WriteHalf {
    /// The way out through a function like a transport's `write`.
    pub(crate) fn through(write: Py<PyAny>) -> Rc<Self> {
        let backlog = Cell::new(Backlog::Nothing);
        Rc::new(WriteHalf { write, unsent: None, socket: Cell::default(), backlog })
    }

    /// The way out of a transport. `socket`: what is under it, if what is written to the one may go to
    /// the other.
    pub(crate) fn of(transport: &Bound<'_, PyAny>, socket: Option<Socket>) -> PyResult<Rc<Self>> {
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let (write, unsent) = (method("write")?, Some(method("get_write_buffer_size")?));
        // Whoever had the transport before may have left something in it.
        let (socket, backlog) = (Cell::new(socket), Cell::new(Backlog::Transport));
        Ok(Rc::new(WriteHalf { write, unsent, socket, backlog }))
    }

    /// The transport is lost, or somebody else's.
    pub(crate) fn close(&self) {
        self.socket.take();
    }

    /// Sends what can be sent now. What is left is to be written when nothing is borrowed.
    pub(crate) fn send(self: &Rc<Self>, py: Python<'_>, pieces: &[&[u8]]) -> Option<Deferred> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let sent = match self.socket.get() {
            Some(socket) if self.is_clear(py) => socket.write(pieces),
            _ => 0,
        };
        if sent == length {
            return None;
        }
        let rest = bytes_of(py, pieces, sent);
        let rest = rest.inspect_err(|error| error.clone_ref(py).write_unraisable(py, None)).ok()?;
        self.backlog.set(Backlog::Deferred);
        Some(Deferred::Write(self.clone(), rest))
    }

    /// Whether nothing is left to leave.
    pub(crate) fn is_clear(&self, py: Python<'_>) -> bool {
        let is_clear = match self.backlog.get() {
            Backlog::Nothing => true,
            Backlog::Deferred => false,
            Backlog::Transport => self.unsent(py).is_ok_and(|unsent| unsent == 0),
        };
        if is_clear {
            self.backlog.set(Backlog::Nothing);
        }
        is_clear
    }

    /// Bytes that the transport still holds.
    pub(crate) fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        match (&self.unsent, self.backlog.get()) {
            (None, _) | (_, Backlog::Nothing) => Ok(0),
            (Some(unsent), _) => unsent.call0(py)?.extract(py),
        }
    }

    /// Has the transport write what was left.
    pub(crate) fn write(&self, py: Python<'_>, data: Py<PyBytes>) -> PyResult<()> {
        self.backlog.set(Backlog::Transport);
        self.write.call1(py, (data,)).map(|_| ())
    }
}
