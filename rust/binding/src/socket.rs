//! The socket under a transport.

use std::io::{self, IoSlice, Read, Write};
use std::mem::ManuallyDrop;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, RawFd};

use pyo3::prelude::*;

/// A socket that belongs to a transport. To be dropped in `connection_lost` at the latest: asyncio
/// keeps the descriptor open until that has returned, and from then on it may be somebody else's.
#[derive(Debug)]
pub(crate) struct Socket(ManuallyDrop<TcpStream>);

impl Socket {
    /// `None`: the transport does more with its bytes than pass them on (TLS), or has no socket.
    #[allow(unsafe_code)]
    pub(crate) fn of(transport: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let info = |name: &str| transport.call_method1("get_extra_info", (name,));
        let socket = info("socket")?;
        if socket.is_none() || !info("sslcontext")?.is_none() {
            return Ok(None);
        }
        let fd: RawFd = socket.call_method0("fileno")?.extract()?;
        if fd < 0 {
            return Ok(None);
        }
        // SAFETY: the transport owns the descriptor, which is open, and stays open for as long as this
        // lives; and it is not closed here. Of what kind the socket is `read` and `write` do not ask.
        Ok(Some(Socket(ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) }))))
    }

    /// Offers the kernel these bytes. Returns how many it took: on an error none, since the transport
    /// will meet the same error and tell everybody.
    pub(crate) fn write(&self, pieces: &[&[u8]]) -> usize {
        let mut slices = [IoSlice::new(b""); 5];
        let mut count = 0;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        (&*self.0).write_vectored(&slices[..count]).unwrap_or(0)
    }

    /// Reads what has come, into `room`. Zero bytes: the peer has closed its side.
    pub(crate) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(room)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
