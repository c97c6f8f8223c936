//! The methods of an asyncio transport, looked up once per connection.

use std::rc::Rc;

use pyo3::prelude::*;

use crate::inlet::Inlet;
use crate::outlet::Outlet;
use crate::poller::Watch;
use crate::socket::Socket;

/// What Penstock calls on a backend's transport.
#[derive(Debug)]
pub(crate) struct Transport {
    is_closing: Py<PyAny>,
    pub(crate) inlet: Rc<Inlet>,
    pub(crate) outlet: Rc<Outlet>,
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
        let (inlet, outlet) = ways(object, watch)?;
        Ok(Transport {
            inlet,
            outlet,
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
) -> PyResult<(Rc<Inlet>, Rc<Outlet>)> {
    let socket = Socket::of(transport)?;
    let outlet = Outlet::of(transport, socket)?;
    Ok((Rc::new(Inlet::of(transport, socket.zip(watch))?), outlet))
}
