//! Bytes from and to the sockets under asyncio transports.
//!
//! Two shortcuts save most of the loop's cost per read and write. Once a plain socket is in use, one poller reads it
//! instead of its transport (`read_half`, `poller`, `poll_set`). Bytes to send are offered to the kernel first, and
//! the transport gets what the kernel does not take (`write_half`). Opening, closing, back-pressure and TLS stay with
//! the transport.

mod bytes;
mod poll_set;
mod poller;
mod read_half;
mod socket;
mod write_half;

use std::rc::Rc;

use pyo3::prelude::*;

pub(crate) use bytes::join_bytes;
pub(crate) use poll_set::{Peer, PollSet, ReadEvent, ReadHandler};
pub(crate) use poller::Poller;
pub(crate) use read_half::ReadHalf;
use socket::Socket;
pub(crate) use write_half::WriteHalf;

/// Splits a transport into its read and write halves. Without a `poll_set` the transport reads.
pub(crate) fn split(
    transport: &Bound<'_, PyAny>,
    poll_set: Option<Rc<PollSet>>,
) -> PyResult<(Rc<ReadHalf>, Rc<WriteHalf>)> {
    let socket = Socket::of(transport)?;
    let write_half = WriteHalf::of_transport(transport, socket)?;
    Ok((Rc::new(ReadHalf::of_transport(transport, socket.zip(poll_set))?), write_half))
}
