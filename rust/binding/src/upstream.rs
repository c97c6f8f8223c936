//! The asyncio protocol on a connection to a backend.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use penstock_admission::Ticket;
use penstock_core::routing::BackendIndex;
use penstock_core::time::Nanos;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::calls::CallKey;
use crate::gateway::Gateway;
use crate::inlet::Inlet;
use crate::outlet::Outlet;
use crate::poller::{Came, Reader};
use crate::transport::Transport;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Carries, or is being opened for, a request.
    Serving(CallKey),
    /// In the pool, or on its way there.
    Idle,
    /// Half-closed: what comes is discarded, and the permit waits for the backend's end.
    Aborting(Ticket),
    Closed,
}

/// A pooled connection to one backend. Made by the gateway, driven by the event loop.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct UpstreamConnection {
    gateway: Py<Gateway>,
    pub(crate) backend: BackendIndex,
    duty: Cell<Duty>,
    /// When it was last put into the pool.
    last_use: Cell<Option<Nanos>>,
    /// The backend is not read, because the client does not read.
    paused: Cell<bool>,
    pub(crate) transport: RefCell<Option<Transport>>,
    /// What the connector returned; cancelled if the connection is no longer wanted.
    connecting: RefCell<Option<Py<PyAny>>>,
}

impl UpstreamConnection {
    pub(crate) fn new(gateway: Py<Gateway>, backend: BackendIndex, call: CallKey) -> Self {
        UpstreamConnection {
            gateway,
            backend,
            duty: Cell::new(Duty::Serving(call)),
            last_use: Cell::new(None),
            paused: Cell::new(false),
            transport: RefCell::new(None),
            connecting: RefCell::new(None),
        }
    }

    pub(crate) fn duty(&self) -> Duty {
        self.duty.get()
    }

    pub(crate) fn set_duty(&self, duty: Duty) {
        self.duty.set(duty);
    }

    /// It joins the pool.
    pub(crate) fn set_idle(&self, now: Nanos) {
        self.duty.set(Duty::Idle);
        self.last_use.set(Some(now));
    }

    /// When it was last put into the pool; `None`: never, it is new.
    pub(crate) fn last_use(&self) -> Option<Nanos> {
        self.last_use.get()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.transport.borrow().is_some()
    }

    pub(crate) fn is_usable(&self, py: Python<'_>) -> bool {
        self.transport.borrow().as_ref().is_some_and(|transport| !transport.is_closing(py))
    }

    pub(crate) fn set_connecting(&self, task: Py<PyAny>) {
        if !self.is_connected() && self.duty.get() != Duty::Closed {
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
    pub(crate) fn outlet(&self) -> Option<Rc<Outlet>> {
        self.transport.borrow().as_ref().map(|transport| transport.outlet.clone())
    }

    fn inlet(&self) -> Option<Rc<Inlet>> {
        self.transport.borrow().as_ref().map(|transport| transport.inlet.clone())
    }

    /// Stops or resumes reading, if there is anything to change. What is returned is to be called for
    /// that.
    pub(crate) fn flow(&self, py: Python<'_>, paused: bool) -> Option<Py<PyAny>> {
        if !self.is_connected() || self.paused.replace(paused) == paused {
            return None;
        }
        self.inlet()?.flow(py, paused)
    }

    /// The way to drop the connection, if there is one. Nothing that comes counts any more.
    pub(crate) fn abort(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.inlet().inspect(|inlet| inlet.close());
        self.method(py, |transport| &transport.abort)
    }

    /// Something has come from the socket.
    pub(crate) fn came(slf: &Bound<'_, Self>, came: Came<'_>) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        let gateway = this.gateway.bind(py);
        let end = match came {
            Came::Bytes(data) => {
                Gateway::upstream_data(gateway, slf, data);
                return Ok(());
            }
            Came::End => {
                Gateway::upstream_eof(gateway, slf);
                this.inlet().inspect(|inlet| inlet.close());
                this.method(py, |transport| &transport.close)
            }
            Came::Broken => {
                Gateway::upstream_lost(gateway, slf, true);
                this.abort(py)
            }
        };
        end.map_or(Ok(()), |end| end.call0(py).map(|_| ()))
    }

    pub(crate) fn cancel_connecting(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let task = self.connecting.take()?;
        task.getattr(py, "cancel").ok()
    }
}

#[pymethods]
impl UpstreamConnection {
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.borrow();
        if this.duty.get() == Duty::Closed {
            // Nobody waits for it any more, and nobody says when it is lost.
            return transport.call_method0("abort").map(|_| ());
        }
        let watch = this.gateway.borrow(slf.py()).watch.clone();
        let transport = Transport::of(transport, watch)?;
        this.transport.replace(Some(transport));
        this.connecting.take();
        Gateway::connected(this.gateway.bind(slf.py()), slf);
        Ok(())
    }

    /// The first bytes come this way, and all of them where nobody else may read the socket.
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        let this = slf.borrow();
        if let Some(inlet) = this.inlet() {
            inlet.watch(slf.py(), || Reader::Backend(slf.clone().unbind()))?;
            // A transport that was not reading yet may have begun in spite of being paused.
            if this.paused.get() {
                inlet.flow_now(slf.py(), true)?;
            }
        }
        Gateway::upstream_data(this.gateway.bind(slf.py()), slf, data.as_bytes());
        Ok(())
    }

    /// The backend has closed its side. Returning nothing makes the transport close too.
    fn eof_received(slf: &Bound<'_, Self>) {
        Gateway::upstream_eof(slf.borrow().gateway.bind(slf.py()), slf);
    }

    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) {
        Gateway::upstream_lost(slf.borrow().gateway.bind(slf.py()), slf, exc.is_some());
        if let Some(transport) = slf.borrow().transport.take() {
            transport.outlet.close();
        }
    }

    /// The connection could not be made. `kind`: `connect`, `timeout` or `tls`.
    fn connect_failed(slf: &Bound<'_, Self>, kind: &str, detail: &str) {
        Gateway::connect_failed(slf.borrow().gateway.bind(slf.py()), slf, kind, detail);
    }

    #[allow(clippy::unused_self)] // part of the protocol interface
    fn pause_writing(&self) {}

    #[allow(clippy::unused_self)] // part of the protocol interface
    fn resume_writing(&self) {}

    fn __repr__(&self) -> String {
        let duty = match self.duty.get() {
            Duty::Serving(_) if !self.is_connected() => "connecting",
            Duty::Serving(_) => "serving",
            Duty::Idle => "idle",
            Duty::Aborting(_) => "aborting",
            Duty::Closed => "closed",
        };
        let reused = if self.last_use.get().is_some() { ", reused" } else { "" };
        format!("<UpstreamConnection backend {} {duty}{reused}>", self.backend)
    }
}
