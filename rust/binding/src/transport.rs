//! The methods of an asyncio transport, looked up once per connection.

use std::rc::Rc;

use pyo3::prelude::*;

use crate::poller::Watch;
use crate::read_half::ReadHalf;
use crate::socket::Socket;
use crate::write_half::WriteHalf;

/// What Penstock calls on a backend's transport.
#[derive(Debug)]
pub(crate) struct Transport {
    is_closing: Py<PyAny>,
    pub(crate) read_half: Rc<ReadHalf>,
    pub(crate) write_half: Rc<WriteHalf>,
    pub(crate) abort: Py<PyAny>,
    pub(crate) close: Py<PyAny>,
    /// `write_eof` where the transport can half-close (TLS cannot), else `close`.
    pub(crate) half_close: Py<PyAny>,
}

impl Transport {
    pub(crate) fn of(object: &Bound<'_, PyAny>, watch: Option<Rc<Watch>>) -> PyResult<Self> {
        let can_half_close: bool = object.call_method0("can_write_eof")?.extract()?;
        let half_close = if can_half_close { "write_eof" } else { "close" };
        let method = |name: &str| object.getattr(name).map(Bound::unbind);
        let (read_half, write_half) = ways(object, watch)?;
        Ok(Transport {
            read_half,
            write_half,
            abort: method("abort")?,
            close: method("close")?,
            half_close: method(half_close)?,
            is_closing: method("is_closing")?,
        })
    }

    pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing.call0(py).and_then(|answer| answer.is_truthy(py)).unwrap_or(true)
    }
}

/// The ways into and out of a transport, past it where that can be: `watch` is who reads sockets.
pub(crate) fn ways(
    transport: &Bound<'_, PyAny>,
    watch: Option<Rc<Watch>>,
) -> PyResult<(Rc<ReadHalf>, Rc<WriteHalf>)> {
    let socket = Socket::of(transport)?;
    let write_half = WriteHalf::of(transport, socket)?;
    Ok((Rc::new(ReadHalf::of(transport, socket.zip(watch))?), write_half))
}
