//! Where bytes leave a connection: its socket while nothing is ahead of them, else its transport.
//!
//! A transport's `write` costs a Python object, a queue and a turn of the loop for bytes that the
//! kernel would have taken at once. So they are offered to the kernel first, without a copy, and the
//! transport gets what is left: its buffer, back-pressure and errors are as ever.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::acts::Act;
use crate::bytes::bytes_of;
use crate::socket::Socket;

/// What would have to leave before what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Nothing,
    /// An [`Act::Write`] that has not run yet.
    Act,
    /// Bytes that the transport may still hold.
    Transport,
}

/// The way out of one connection.
#[derive(Debug)]
pub(crate) struct Outlet {
    write: Py<PyAny>,
    bypass: RefCell<Option<Bypass>>,
    backlog: Cell<Backlog>,
}

/// The way past a transport.
#[derive(Debug)]
struct Bypass {
    socket: Socket,
    /// The transport's `get_write_buffer_size`.
    unsent: Py<PyAny>,
}

impl Outlet {
    /// The way out through a function like a transport's `write`.
    pub(crate) fn through(write: Py<PyAny>) -> Rc<Self> {
        Rc::new(Outlet { write, bypass: RefCell::default(), backlog: Cell::new(Backlog::Nothing) })
    }

    /// The way out of a transport. `socket`: what is under it, if what is written to the one may go to
    /// the other.
    pub(crate) fn of(transport: &Bound<'_, PyAny>, socket: Option<Socket>) -> PyResult<Rc<Self>> {
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let bypass = match socket {
            None => None,
            Some(socket) => Some(Bypass { socket, unsent: method("get_write_buffer_size")? }),
        };
        // Whoever had the transport before may have left something in it.
        let (bypass, backlog) = (RefCell::new(bypass), Cell::new(Backlog::Transport));
        Ok(Rc::new(Outlet { write: method("write")?, bypass, backlog }))
    }

    /// The transport is lost, or somebody else's.
    pub(crate) fn close(&self) {
        self.bypass.take();
    }

    /// Sends what can be sent now. What is left is to be written when nothing is borrowed.
    pub(crate) fn send(self: &Rc<Self>, py: Python<'_>, pieces: &[&[u8]]) -> Option<Act> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let sent = match &*self.bypass.borrow() {
            Some(bypass) if self.is_clear(py, bypass) => bypass.socket.write(pieces),
            _ => 0,
        };
        if sent == length {
            return None;
        }
        let rest = bytes_of(py, pieces, sent);
        let rest = rest.inspect_err(|error| error.clone_ref(py).write_unraisable(py, None)).ok()?;
        self.backlog.set(Backlog::Act);
        Some(Act::Write(self.clone(), rest))
    }

    /// Whether all has left that ever came here.
    pub(crate) fn is_empty(&self) -> bool {
        self.backlog.get() == Backlog::Nothing
    }

    fn is_clear(&self, py: Python<'_>, bypass: &Bypass) -> bool {
        let is_clear = match self.backlog.get() {
            Backlog::Nothing => true,
            Backlog::Act => false,
            Backlog::Transport => bypass.unsent(py) == 0,
        };
        if is_clear {
            self.backlog.set(Backlog::Nothing);
        }
        is_clear
    }

    /// Has the transport write what was left.
    pub(crate) fn write(&self, py: Python<'_>, data: Py<PyBytes>) -> PyResult<()> {
        self.backlog.set(Backlog::Transport);
        self.write.call1(py, (data,)).map(|_| ())
    }
}

impl Bypass {
    fn unsent(&self, py: Python<'_>) -> usize {
        self.unsent.call0(py).and_then(|size| size.extract(py)).unwrap_or(usize::MAX)
    }
}
