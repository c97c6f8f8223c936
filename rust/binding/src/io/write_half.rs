//! The write half of one connection: bytes go to its socket while nothing is queued before them, else to its
//! transport.
//!
//! A transport's `write` costs a Python object, a queue and a turn of the loop, for bytes that the kernel would take
//! at once. So bytes are offered to the kernel first, without a copy. The transport gets the rest, and its buffer,
//! back-pressure and errors work as without this shortcut.

use std::cell::Cell;
use std::rc::Rc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::bytes::join_bytes;
use super::socket::Socket;

/// Bytes that must leave before later ones may go to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queued {
    Nothing,
    /// What [`WriteHalf::send`] returned and [`WriteHalf::write`] has not been called for.
    Returned,
    /// The transport may have some in its buffer.
    InTransport,
}

#[derive(Debug)]
pub(crate) struct WriteHalf {
    write: Py<PyAny>,
    /// `None`: `write` is not a transport's.
    get_write_buffer_size: Option<Py<PyAny>>,
    /// `None`: all bytes go to `write`.
    socket: Cell<Option<Socket>>,
    queued: Cell<Queued>,
}

impl WriteHalf {
    /// Writes everything by a function that takes bytes.
    pub(crate) fn of_function(write: Py<PyAny>) -> Rc<Self> {
        let (socket, queued) = (Cell::default(), Cell::new(Queued::Nothing));
        Rc::new(WriteHalf { write, get_write_buffer_size: None, socket, queued })
    }

    /// `socket`: the transport's socket, if bytes may go to it directly.
    pub(super) fn of_transport(
        transport: &Bound<'_, PyAny>,
        socket: Option<Socket>,
    ) -> PyResult<Rc<Self>> {
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let write = method("write")?;
        let get_write_buffer_size = Some(method("get_write_buffer_size")?);
        // An earlier owner of the transport may have left bytes in its buffer.
        let (socket, queued) = (Cell::new(socket), Cell::new(Queued::InTransport));
        Ok(Rc::new(WriteHalf { write, get_write_buffer_size, socket, queued }))
    }

    /// Stops using the socket: the transport is lost, or has another owner.
    pub(crate) fn close(&self) {
        self.socket.take();
    }

    /// Sends what the socket takes now. The caller must give the returned rest to [`Self::write`] once the worker is
    /// no longer borrowed.
    pub(crate) fn send(&self, py: Python<'_>, pieces: &[&[u8]]) -> Option<Py<PyBytes>> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let sent = match self.socket.get() {
            Some(socket) if self.is_flushed(py) => socket.write(pieces),
            _ => 0,
        };
        if sent == length {
            return None;
        }
        let rest = join_bytes(py, pieces, sent);
        let rest = rest.inspect_err(|error| error.clone_ref(py).write_unraisable(py, None)).ok()?;
        self.queued.set(Queued::Returned);
        Some(rest)
    }

    /// Whether the kernel has all bytes.
    pub(crate) fn is_flushed(&self, py: Python<'_>) -> bool {
        let is_flushed = match self.queued.get() {
            Queued::Nothing => true,
            Queued::Returned => false,
            Queued::InTransport => self.unsent_bytes(py).is_ok_and(|unsent| unsent == 0),
        };
        if is_flushed {
            self.queued.set(Queued::Nothing);
        }
        is_flushed
    }

    /// Bytes in the transport's buffer.
    pub(crate) fn unsent_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        match (&self.get_write_buffer_size, self.queued.get()) {
            (None, _) | (_, Queued::Nothing) => Ok(0),
            (Some(get_write_buffer_size), _) => get_write_buffer_size.call0(py)?.extract(py),
        }
    }

    /// Has the transport write what [`Self::send`] returned.
    pub(crate) fn write(&self, py: Python<'_>, data: Py<PyBytes>) -> PyResult<()> {
        self.queued.set(Queued::InTransport);
        self.write.call1(py, (data,)).map(|_| ())
    }
}
