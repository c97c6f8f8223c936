//! `LaneConnection`: the asyncio protocol of a client connection on the lane.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use penstock_core::client::{Answered, ClientConfig, ClientConnection, Left, Overdue, Step};
use penstock_core::endpoint::ENDPOINTS;
use penstock_core::identity::RequestAttributes;
use penstock_core::time::seconds;
use penstock_core::worker::faults;
use penstock_wire::http::Request;
use pyo3::prelude::*;

use super::client_transport::ClientTransport;
use super::config::LaneConfig;
use crate::gateway::Gateway;
use crate::io::split;
use crate::runner::{AnswerListener, AnswerOptions, ClientSide, Submission, WorkerRunner};

/// One client connection, until aiohttp gets it. `host` is told of it: `made(connection, transport)`,
/// which returns whether it may stay on the lane, `handed_over(connection, transport, data, since)`,
/// `closing(connection, transport)`, where the client may still be sending a request that is not answered, and
/// `lost(connection)`.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct LaneConnection {
    pub(super) runner: Rc<WorkerRunner>,
    pub(super) host: Py<PyAny>,
    config: Py<LaneConfig>,
    /// The peer's tenant and priority headers count.
    trusted: Cell<bool>,
    pub(super) connection: RefCell<ClientConnection>,
    pub(super) transport: RefCell<Option<ClientTransport>>,
}

/// A connection, as those hold it that call it later.
#[derive(Debug)]
pub(super) struct LaneHandle(pub(super) Py<LaneConnection>);

impl AnswerListener for LaneHandle {
    fn answer_done(&self, py: Python<'_>, keep_alive: bool) -> PyResult<()> {
        let done = || LaneConnection::answer_done(self.0.bind(py), keep_alive);
        // A panic over the next request ends that request and its connection. The answer that has just been written
        // is still sent.
        let done = catch_unwind(AssertUnwindSafe(done));
        done.unwrap_or_else(|_| self.0.borrow(py).force_close(py))
    }
}

impl LaneConnection {
    /// Handles what has arrived, as far as it allows.
    pub(super) fn advance(slf: &Bound<'_, Self>, mut data: &[u8]) -> PyResult<()> {
        let this = slf.borrow();
        loop {
            // Each step is decided under the borrow and carried out without it.
            let step = {
                let config = &this.config.get().client;
                this.connection.borrow_mut().step(config, data, this.trusted.get())
            };
            match step {
                Step::Wait => return Ok(()),
                Step::ReadOn => return this.resume_reading(slf.py()),
                Step::HandOver => return Self::hand_over(slf),
                Step::Serve(request, attributes) => {
                    this.serve(slf.py(), &request, attributes);
                }
            }
            data = b"";
        }
    }

    fn serve(&self, py: Python<'_>, request: &Request<'_>, attributes: RequestAttributes) {
        let side = self.transport.borrow().as_ref().map(|transport| ClientSide {
            write_half: transport.write_half.clone(),
            listener: transport.listener.clone(),
        });
        let submitted = side.and_then(|side| {
            let submission = Submission {
                endpoint: ENDPOINTS[request.path()],
                body: request.body(),
                request_id: ClientConfig::request_id(request),
                options: &AnswerOptions::KEEP_ALIVE,
                side,
                attributes,
            };
            self.runner.submit(py, submission)
        });
        let paused = self.connection.borrow_mut().submitted(submitted);
        if let Some(id) = paused {
            self.runner.client_flow(py, id, true);
        }
    }

    /// An answer is written.
    fn answer_done(slf: &Bound<'_, Self>, keep_alive: bool) -> PyResult<()> {
        let this = slf.borrow();
        let next = this.connection.borrow_mut().answered(keep_alive, this.runner.last_event());
        if next == Answered::Nothing {
            return Ok(());
        }
        faults::check("done");
        if next == Answered::Close {
            return Self::close_gently(slf);
        }
        // More requests will follow on this connection.
        Self::use_poller(slf)?;
        if next == Answered::Step { Self::advance(slf, b"") } else { Ok(()) }
    }

    /// The client's transport is full, or takes bytes again. Returns whether that concerns a request.
    fn write_flow(&self, py: Python<'_>, full: bool) -> bool {
        let request = self.connection.borrow_mut().write_flow(full, self.runner.last_event());
        if let Some(id) = request {
            self.runner.client_flow(py, id, full);
        }
        request.is_some()
    }

    /// The client has left.
    pub(super) fn leave(&self, py: Python<'_>) {
        let left = self.connection.borrow_mut().leave(self.runner.last_event());
        let Left { request, unread } = left;
        if let Some(id) = request {
            self.runner.client_gone(py, id);
        }
        if let Some((id, waited)) = unread {
            self.runner.count_incomplete_request(id.as_deref(), waited);
        }
    }

    pub(super) fn transport_object(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.transport.borrow().as_ref().map(|transport| transport.object.clone_ref(py))
    }

    /// Calls the transport's `close` or `abort`.
    fn end(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        if let Some(read_half) = self.read_half() {
            read_half.close();
        }
        let transport = self.transport_object(py);
        transport.map_or(Ok(()), |object| object.call_method0(py, method).map(|_| ()))
    }
}

#[pymethods]
impl LaneConnection {
    #[new]
    fn new(gateway: &Gateway, host: Py<PyAny>, config: Py<LaneConfig>) -> Self {
        LaneConnection {
            runner: gateway.runner.clone(),
            host,
            config,
            trusted: Cell::new(false),
            connection: RefCell::default(),
            transport: RefCell::new(None),
        }
    }

    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.borrow();
        let (read_half, write_half) = split(transport, this.runner.poll_set.clone())?;
        let (object, handle) = (transport.clone().unbind(), LaneHandle(slf.clone().unbind()));
        let listener = Rc::new(handle);
        let parts = ClientTransport { object, read_half, write_half, listener };
        this.transport.replace(Some(parts));
        this.connection.replace(ClientConnection::new(this.runner.last_event()));
        let stays: bool =
            this.host.call_method1(slf.py(), "made", (slf, transport))?.extract(slf.py())?;
        if stays { Ok(()) } else { Self::hand_over(slf) }
    }

    fn data_received(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        Self::received(slf, data)
    }

    /// Treats a client that closes its side as gone, as `HAProxy` does for HTTP.
    /// Returning nothing makes the transport close too.
    fn eof_received(&self, py: Python<'_>) {
        self.leave(py);
    }

    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let _ = exc;
        let this = slf.borrow();
        this.leave(slf.py());
        if let Some(ClientTransport { read_half, write_half, .. }) = this.transport.take() {
            read_half.close();
            write_half.close();
        }
        this.host.call_method1(slf.py(), "lost", (slf,)).map(|_| ())
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.write_flow(py, true);
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.borrow().write_flow(slf.py(), false) { Ok(()) } else { Self::advance(slf, b"") }
    }

    // What the host and the registry of connections use.

    /// Whether the peer's tenant and priority headers count.
    #[getter]
    fn trusted(&self) -> bool {
        self.trusted.get()
    }

    #[setter]
    fn set_trusted(&self, trusted: bool) {
        self.trusted.set(trusted);
    }

    /// The transport, until it is lost or handed over.
    #[getter]
    fn open_transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.transport_object(py)
    }

    /// Whether the transport buffers more than its high-water mark for the client.
    #[getter]
    fn is_writing_paused(&self) -> bool {
        self.connection.borrow().is_held_back()
    }

    /// Bytes for the client that the kernel has not taken yet.
    #[getter]
    fn unsent_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        let half = self.transport.borrow().as_ref().map(|transport| transport.write_half.clone());
        half.map_or(Ok(0), |half| half.unsent_bytes(py))
    }

    /// Whether no request is being read or answered.
    #[getter]
    fn is_idle(&self) -> bool {
        self.connection.borrow().is_idle()
    }

    /// Whether a drain waits for it.
    #[getter]
    fn is_finishing(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.connection.borrow().is_busy() || self.unsent_bytes(py)? > 0)
    }

    /// Closes it when what is written has been sent.
    pub(super) fn force_close(&self, py: Python<'_>) -> PyResult<()> {
        self.leave(py);
        self.end(py, "close")
    }

    /// Drops it and all unsent bytes.
    pub(super) fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, "abort")
    }

    /// Closes or hands over what takes too long. `now`: seconds of the monotonic clock. Call it every second.
    fn sweep(slf: &Bound<'_, Self>, now: f64) -> PyResult<()> {
        let this = slf.borrow();
        let overdue = this.connection.borrow().overdue(seconds(now));
        match overdue {
            Overdue::Nothing => Ok(()),
            Overdue::Request => Self::hand_over(slf),
            Overdue::Idle => this.force_close(slf.py()),
        }
    }
}
