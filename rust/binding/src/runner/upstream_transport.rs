//! The transport of a connection to a backend: being opened, open, or closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pyo3::prelude::*;

use crate::io::{Peer, PollSet, ReadHalf, ReadHandler, WriteHalf, split};

/// The methods of an asyncio transport, looked up once per connection.
#[derive(Debug)]
struct Open {
    read_half: Rc<ReadHalf>,
    write_half: Rc<WriteHalf>,
    is_closing: Py<PyAny>,
    abort: Py<PyAny>,
    close: Py<PyAny>,
    /// `write_eof` where the transport can half-close (TLS cannot), else `close`.
    half_close: Py<PyAny>,
}

impl Open {
    fn of(transport: &Bound<'_, PyAny>, poll_set: Option<Rc<PollSet>>) -> PyResult<Self> {
        let can_half_close: bool = transport.call_method0("can_write_eof")?.extract()?;
        let half_close = if can_half_close { "write_eof" } else { "close" };
        let method = |name: &str| transport.getattr(name).map(Bound::unbind);
        let (read_half, write_half) = split(transport, poll_set)?;
        Ok(Open {
            read_half,
            write_half,
            is_closing: method("is_closing")?,
            abort: method("abort")?,
            close: method("close")?,
            half_close: method(half_close)?,
        })
    }
}

/// Shared by the driver, which knows it by the worker's connection id, and the asyncio protocol.
#[derive(Debug, Default)]
pub(crate) struct UpstreamTransport {
    /// The worker has closed the connection and ignores its events.
    is_closed: Cell<bool>,
    /// The worker has paused reading. It may do so before the transport exists.
    is_paused: Cell<bool>,
    open: RefCell<Option<Open>>,
    /// What the connector returned. It is cancelled if the worker closes the connection before it is open.
    connecting: RefCell<Option<Py<PyAny>>>,
}

impl UpstreamTransport {
    pub(super) fn set_connecting(&self, task: Py<PyAny>) {
        if self.open.borrow().is_none() && !self.is_closed.get() {
            self.connecting.replace(Some(task));
        }
    }

    /// The connection is open. False: the worker has closed it meanwhile, and the transport was aborted.
    pub(crate) fn set_open(
        &self,
        transport: &Bound<'_, PyAny>,
        poll_set: Option<Rc<PollSet>>,
    ) -> PyResult<bool> {
        if self.is_closed.get() {
            transport.call_method0("abort")?;
            return Ok(false);
        }
        let open = Open::of(transport, poll_set)?;
        self.open.replace(Some(open));
        self.connecting.take();
        Ok(true)
    }

    /// The transport is lost, and its socket is closed soon.
    pub(crate) fn set_lost(&self) {
        if let Some(open) = self.open.take() {
            open.write_half.close();
        }
    }

    pub(super) fn is_open(&self, py: Python<'_>) -> bool {
        self.open.borrow().as_ref().is_some_and(|open| {
            let is_closing = open.is_closing.call0(py).and_then(|answer| answer.is_truthy(py));
            !is_closing.unwrap_or(true)
        })
    }

    /// The write half, once the connection is open.
    pub(super) fn write_half(&self) -> Option<Rc<WriteHalf>> {
        self.open.borrow().as_ref().map(|open| open.write_half.clone())
    }

    fn read_half(&self) -> Option<Rc<ReadHalf>> {
        self.open.borrow().as_ref().map(|open| open.read_half.clone())
    }

    /// One of the transport's methods, once the connection is open.
    fn method(
        &self,
        py: Python<'_>,
        choose: impl FnOnce(&Open) -> &Py<PyAny>,
    ) -> Option<Py<PyAny>> {
        self.open.borrow().as_ref().map(|open| choose(open).clone_ref(py))
    }

    /// Pauses or resumes reading. The caller must call the returned method for that.
    pub(super) fn set_paused(&self, py: Python<'_>, paused: bool) -> Option<Py<PyAny>> {
        self.is_paused.set(paused);
        self.read_half()?.set_paused(py, paused)
    }

    /// The method that half-closes the connection, once it is open.
    pub(super) fn half_close(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.method(py, |open| &open.half_close)
    }

    /// The worker has closed the connection. The caller must call the returned method: it drops the transport, or
    /// cancels its opening.
    pub(super) fn close(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.is_closed.set(true);
        self.stop_reading();
        self.method(py, |open| &open.abort).or_else(|| {
            let task = self.connecting.take()?;
            task.getattr(py, "cancel").ok()
        })
    }

    /// Moves reading to the poller, if there is one.
    pub(crate) fn use_poller(
        &self,
        py: Python<'_>,
        handler: impl FnOnce() -> Rc<dyn ReadHandler>,
    ) -> PyResult<()> {
        let Some(read_half) = self.read_half() else { return Ok(()) };
        read_half.use_poller(py, Peer::Backend, handler)?;
        // A transport that had not started to read ignores a pause and starts later.
        if self.is_paused.get() { read_half.set_paused_now(py, true) } else { Ok(()) }
    }

    /// Ends the transport after the poller has met the end of its connection. `broken`: without sending the rest.
    pub(crate) fn end(&self, py: Python<'_>, broken: bool) -> PyResult<()> {
        self.stop_reading();
        let end = self.method(py, |open| if broken { &open.abort } else { &open.close });
        end.map_or(Ok(()), |end| end.call0(py).map(|_| ()))
    }

    fn stop_reading(&self) {
        if let Some(read_half) = self.read_half() {
            read_half.close();
        }
    }
}
