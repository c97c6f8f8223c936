//! Where bytes leave a connection: its socket while nothing is ahead of them, else its transport.
//!
//! A transport's `write` costs a Python object, a queue and a turn of the loop for bytes that the
//! kernel would have taken at once. So they are offered to the kernel first, without a copy, and the
//! transport gets what is left: its buffer, back-pressure and errors are as ever.

use std::cell::Cell;
use std::io::{IoSlice, Write};
use std::mem::ManuallyDrop;
use std::net::TcpStream;
use std::os::fd::{FromRawFd, RawFd};
use std::rc::Rc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::acts::Act;
use crate::bytes::bytes_of;

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
    socket: Option<Socket>,
    backlog: Cell<Backlog>,
}

/// What lies under a transport.
#[derive(Debug)]
struct Socket {
    fd: RawFd,
    is_closing: Py<PyAny>,
    unsent: Py<PyAny>,
}

impl Outlet {
    /// The way out through a function like a transport's `write`.
    pub(crate) fn through(write: Py<PyAny>) -> Rc<Self> {
        Rc::new(Outlet { write, socket: None, backlog: Cell::new(Backlog::Nothing) })
    }

    /// The way out of a transport: of its socket, if what is written to the one may go to the other.
    pub(crate) fn of(transport: &Bound<'_, PyAny>) -> PyResult<Rc<Self>> {
        let write = transport.getattr("write")?.unbind();
        let socket = Socket::of(transport)?;
        // Whoever had the transport before may have left something in it.
        Ok(Rc::new(Outlet { write, socket, backlog: Cell::new(Backlog::Transport) }))
    }

    /// Sends what can be sent now. What is left is to be written when nothing is borrowed.
    pub(crate) fn send(self: &Rc<Self>, py: Python<'_>, pieces: &[&[u8]]) -> Option<Act> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let sent = match &self.socket {
            Some(socket) if self.is_clear(py, socket) => socket.send(pieces),
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

    fn is_clear(&self, py: Python<'_>, socket: &Socket) -> bool {
        let is_clear = match self.backlog.get() {
            Backlog::Nothing => true,
            Backlog::Act => false,
            Backlog::Transport => socket.unsent(py) == 0,
        };
        if is_clear {
            self.backlog.set(Backlog::Nothing);
        }
        // Of a closed transport the descriptor may be somebody else's by now.
        is_clear && !socket.is_closing(py)
    }

    /// Has the transport write what was left.
    pub(crate) fn write(&self, py: Python<'_>, data: Py<PyBytes>) -> PyResult<()> {
        self.backlog.set(Backlog::Transport);
        self.write.call1(py, (data,)).map(|_| ())
    }
}

impl Socket {
    /// `None`: the transport does more with its bytes than pass them on (TLS), or has no socket.
    fn of(transport: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let info = |name: &str| transport.call_method1("get_extra_info", (name,));
        let socket = info("socket")?;
        if socket.is_none() || !info("sslcontext")?.is_none() {
            return Ok(None);
        }
        let fd: RawFd = socket.call_method0("fileno")?.extract()?;
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let (is_closing, unsent) = (method("is_closing")?, method("get_write_buffer_size")?);
        Ok((fd >= 0).then_some(Socket { fd, is_closing, unsent }))
    }

    fn is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing.call0(py).and_then(|answer| answer.is_truthy(py)).unwrap_or(true)
    }

    fn unsent(&self, py: Python<'_>) -> usize {
        self.unsent.call0(py).and_then(|size| size.extract(py)).unwrap_or(usize::MAX)
    }

    /// Offers the kernel these bytes. Returns how many it took: on an error none, since the transport
    /// will meet the same error and tell everybody.
    #[allow(unsafe_code)]
    fn send(&self, pieces: &[&[u8]]) -> usize {
        // SAFETY: the transport owns the descriptor and was open a moment ago, on this very thread,
        // which is the only one to close it; and it is not closed here.
        let socket = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(self.fd) });
        let mut slices = [IoSlice::new(b""); 5];
        let mut count = 0;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        (&*socket).write_vectored(&slices[..count]).unwrap_or(0)
    }
}
