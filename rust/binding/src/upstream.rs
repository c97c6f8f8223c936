//! The asyncio protocol on a connection to a backend.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use penstock_core::worker::ConnectionId;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::gateway::Gateway;
use crate::poller::{Incoming, Reader};
use crate::read_half::ReadHalf;
use crate::transport::Transport;
use crate::write_half::WriteHalf;

/// A connection to one backend. The worker decides about it, the event loop drives it.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    gateway: Py<Gateway>,
    backend: BackendIndex,
    id: ConnectionId,
    /// The worker has closed it: no event of it counts any more.
    is_closed: Cell<bool>,
    /// The worker does not want to read it for now.
    is_paused: Cell<bool>,
    transport: RefCell<Option<Transport>>,
    /// What the connector returned; cancelled if the connection is no longer wanted.
    connecting: RefCell<Option<Py<PyAny>>>,
}

impl UpstreamConnection {
    pub(crate) fn new(gateway: Py<Gateway>, backend: BackendIndex, id: ConnectionId) -> Self {
        UpstreamConnection {
            gateway,
            backend,
            id,
            is_closed: Cell::new(false),
            is_paused: Cell::new(false),
            transport: RefCell::new(None),
            connecting: RefCell::new(None),
        }
    }

    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.transport.borrow().as_ref().is_some_and(|transport| !transport.is_closing(py))
    }

    pub(crate) fn set_connecting(&self, task: Py<PyAny>) {
        if self.transport.borrow().is_none() && !self.is_closed.get() {
            self.connecting.replace(Some(task));
        }
    }

    /// One of the transport's methods, once there is a transport.
    pub(crate) fn method(
        &self,
        py: Python<'_>,
        choose: impl FnOnce(&Transport) -> &Py<PyAny>,
    ) -> Option<Py<PyAny>> {
        self.transport.borrow().as_ref().map(|transport| choose(transport).clone_ref(py))
    }

    /// The way to the backend, once there is one.
    pub(crate) fn write_half(&self) -> Option<Rc<WriteHalf>> {
        self.transport.borrow().as_ref().map(|transport| transport.write_half.clone())
    }

    fn read_half(&self) -> Option<Rc<ReadHalf>> {
        self.transport.borrow().as_ref().map(|transport| transport.read_half.clone())
    }

    /// Stops or resumes reading. What is returned is to be called for that.
    pub(crate) fn set_paused(&self, py: Python<'_>, paused: bool) -> Option<Py<PyAny>> {
        self.is_paused.set(paused);
        self.read_half()?.set_paused(py, paused)
    }

    /// The worker has closed it. What is returned is to be called: it drops the transport, or gives up getting one.
    pub(crate) fn drop_transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.is_closed.set(true);
        self.read_half().inspect(|half| half.close());
        self.method(py, |transport| &transport.abort).or_else(|| {
            let task = self.connecting.take()?;
            task.getattr(py, "cancel").ok()
        })
    }

    /// Something has come from the socket.
    pub(crate) fn incoming(slf: &Bound<'_, Self>, incoming: Incoming<'_>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        let gateway = this.gateway.bind(py);
        let end = match incoming {
            Incoming::Bytes(data) => {
                Gateway::upstream_data(gateway, this.id, data);
                return Ok(());
            }
            Incoming::End => {
                Gateway::upstream_eof(gateway, this.id);
                this.read_half().inspect(|half| half.close());
                this.method(py, |transport| &transport.close)
            }
            Incoming::Broken => {
                Gateway::upstream_lost(gateway, this.id, true);
                this.read_half().inspect(|half| half.close());
                this.method(py, |transport| &transport.abort)
            }
        };
        end.map_or(Ok(()), |end| end.call0(py).map(|_| ()))
    }
}

#[pymethods]
impl UpstreamConnection {
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.borrow();
        if this.is_closed.get() {
            // Nobody waits for it any more, and nobody says when it is lost.
            return transport.call_method0("abort").map(|_| ());
        }
        let watch = this.gateway.borrow(slf.py()).watch.clone();
        let transport = Transport::of(transport, watch)?;
        this.transport.replace(Some(transport));
        this.connecting.take();
        Gateway::connected(this.gateway.bind(slf.py()), this.id);
        Ok(())
    }

    /// The first bytes come this way, and all of them where nobody else may read the socket.
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let this = slf.borrow();
        if let Some(half) = this.read_half() {
            half.watch(slf.py(), || Reader::Backend(slf.clone().unbind()))?;
            // A transport that was not reading yet may have begun in spite of being paused.
            if this.is_paused.get() {
                half.set_paused_now(slf.py(), true)?;
            }
        }
        Gateway::upstream_data(this.gateway.bind(slf.py()), this.id, data.as_bytes());
        Ok(())
    }

    /// The backend has closed its side. Returning nothing makes the transport close too.
    fn eof_received(slf: &Bound<'_, Self>) {
        let this = slf.borrow();
        Gateway::upstream_eof(this.gateway.bind(slf.py()), this.id);
    }

    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) {
        let this = slf.borrow();
        Gateway::upstream_lost(this.gateway.bind(slf.py()), this.id, exc.is_some());
        if let Some(transport) = this.transport.take() {
            transport.write_half.close();
        }
    }

    /// The connection could not be made. `kind`: `refused`, `connect`, `timeout` or `tls`.
    fn connect_failed(slf: &Bound<'_, Self>, kind: &str, detail: &str) {
        let this = slf.borrow();
        Gateway::connect_failed(this.gateway.bind(slf.py()), this.id, kind, detail);
    }

    #[allow(clippy::unused_self)] // part of the protocol interface
    fn pause_writing(&self) {}

    #[allow(clippy::unused_self)] // part of the protocol interface
    fn resume_writing(&self) {}

    fn __repr__(&self, py: Python<'_>) -> String {
        let gateway = self.gateway.borrow(py);
        // The worker may be in the middle of an event.
        let Ok(state) = gateway.state.try_borrow() else {
            return format!("<UpstreamConnection backend {} busy>", self.backend);
        };
        let (state, is_reused) = state.worker.describe(self.id);
        let reused = if is_reused { ", reused" } else { "" };
        format!("<UpstreamConnection backend {} {state}{reused}>", self.backend)
    }
}
