//! The socket under a transport.

use std::io::{self, IoSlice, Read, Write};
use std::mem::ManuallyDrop;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, RawFd};

use pyo3::prelude::*;

/// Up to so many bytes it is cheaper to join pieces than to have the kernel gather them: by 0.3 to 0.5
/// of 8.5 µs for an event's three, written and read over loopback.
const JOINED: usize = 2048;
/// `AF_UNIX`, the same on every Unix.
const UNIX: i32 = 1;

/// A socket that belongs to a transport. Not to be used once `connection_lost` has returned: until then
/// asyncio keeps the descriptor open, and from then on it may be somebody else's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Socket {
    fd: RawFd,
    is_unix: bool,
}

impl Socket {
    /// `None`: the transport does more with its bytes than pass them on (TLS), or has no socket.
    pub(crate) fn of(transport: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let info = |name: &str| transport.call_method1("get_extra_info", (name,));
        let socket = info("socket")?;
        if socket.is_none() || !info("sslcontext")?.is_none() {
            return Ok(None);
        }
        let fd: RawFd = socket.call_method0("fileno")?.extract()?;
        let family: i32 = socket.getattr("family")?.extract()?;
        Ok((fd >= 0).then_some(Socket { fd, is_unix: family == UNIX }))
    }

    /// Whether a read may stop though more has come: over a Unix socket it stops behind a descriptor that
    /// somebody has passed (unix(7), `SCM_RIGHTS`), and nothing tells of that.
    pub(crate) fn stops_early(self) -> bool {
        self.is_unix
    }

    /// Offers the kernel these bytes. Returns how many it took: on an error none, since the transport
    /// will meet the same error and tell everybody.
    pub(crate) fn write(self, pieces: &[&[u8]]) -> usize {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length <= JOINED {
            let mut joined = [0; JOINED];
            let mut at = 0;
            for piece in pieces {
                joined[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            return (&*self.stream()).write(&joined[..at]).unwrap_or(0);
        }
        let mut slices = [IoSlice::new(b""); 5];
        let mut count = 0;
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        (&*self.stream()).write_vectored(&slices[..count]).unwrap_or(0)
    }

    /// Reads what has come, into `room`. Zero bytes: the peer has closed its side.
    pub(crate) fn read(self, room: &mut [u8]) -> io::Result<usize> {
        (&*self.stream()).read(room)
    }

    #[allow(unsafe_code)]
    fn stream(self) -> ManuallyDrop<TcpStream> {
        // SAFETY: the transport owns the descriptor, which is open for as long as this may be used, and
        // it is not closed here. Of what kind the socket is `read` and `write` do not ask.
        ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(self.fd) })
    }
}

impl AsFd for Socket {
    #[allow(unsafe_code)]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: as above.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}
