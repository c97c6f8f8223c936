//! A client's connection on the lane: the asyncio protocol in front of aiohttp.
//!
//! `ClientConnection` of the core says what comes next; this runs it. At a request that the lane does not serve the
//! connection and all bytes of that request go to aiohttp; a later request may bring it back
//! (`server/lane.py`).

mod leaving;
mod reading;
pub(crate) mod terms;
mod transport;

use std::cell::{Cell, RefCell};

use penstock_core::client::{Answered, ClientConfig, ClientConnection, Left, Overdue, Step};
use penstock_core::endpoint::ENDPOINTS;
use penstock_core::identity::RequestAttributes;
use penstock_core::time::{Nanos, seconds};
use penstock_core::worker::faults;
use penstock_wire::http::Request;
use pyo3::prelude::*;

use self::terms::LaneTerms;
use self::transport::Transport;
use crate::client::{ClientSide, Done};
use crate::gateway::{AnswerOptions, Gateway};
use crate::poller::Reader;
use crate::transport::ways;

/// One client connection, until aiohttp gets it. `host` is told of it: `made(connection, transport)`,
/// which says whether it may stay on the lane, `handed_over(connection, transport, data, since)`,
/// `closing(connection, transport)`, whose client may still be sending what will not be answered, and
/// `lost(connection)`.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct LaneConnection {
    gateway: Py<Gateway>,
    host: Py<PyAny>,
    terms: Py<LaneTerms>,
    /// The peer's word on tenant and priority counts.
    trusted: Cell<bool>,
    connection: RefCell<ClientConnection>,
    transport: RefCell<Option<Transport>>,
}

impl LaneConnection {
    /// Goes on with what has come, as far as it allows.
    fn advance(slf: &Bound<'_, Self>, mut data: &[u8]) -> PyResult<()> {
        let this = slf.borrow();
        loop {
            // Decided under the borrow, done without it.
            let step = {
                let terms = &this.terms.get().terms;
                this.connection.borrow_mut().step(terms, data, this.trusted.get())
            };
            match step {
                Step::Wait => return Ok(()),
                Step::ReadOn => return this.read_on(slf.py()),
                Step::HandOver => return Self::hand_over(slf),
                Step::Serve(request, attributes) => Self::serve(slf, &request, attributes),
            }
            data = b"";
        }
    }

    fn serve(slf: &Bound<'_, Self>, request: &Request<'_>, attributes: RequestAttributes) {
        let this = slf.borrow();
        let half = this.transport.borrow().as_ref().map(|transport| transport.write_half.clone());
        let submitted = half.and_then(|half| {
            let side = ClientSide { half, done: Done::Lane(slf.clone().unbind()) };
            let gateway = this.gateway.bind(slf.py());
            let id = ClientConfig::request_id(request);
            let options = &AnswerOptions::KEEP_ALIVE;
            let (endpoint, body) = (ENDPOINTS[request.path()], request.body());
            Gateway::take(gateway, endpoint, body, id, options, side, attributes)
        });
        let paused = this.connection.borrow_mut().submitted(submitted);
        if let Some(id) = paused {
            Gateway::client_flow(this.gateway.bind(slf.py()), id, true);
        }
    }

    /// The answer is written.
    pub(crate) fn done(slf: &Bound<'_, Self>, keep_alive: bool) -> PyResult<()> {
        let this = slf.borrow();
        let next = this.connection.borrow_mut().answered(keep_alive, this.latest(slf.py()));
        if next == Answered::Nothing {
            return Ok(());
        }
        faults::check("done");
        if next == Answered::Close {
            return Self::close_gently(slf);
        }
        if let Some(read_half) = this.read_half() {
            // There will be more of it than one request.
            read_half.watch(slf.py(), || Reader::Client(slf.clone().unbind()))?;
        }
        if next == Answered::Step { Self::advance(slf, b"") } else { Ok(()) }
    }

    /// The time of the loop's last turn: good enough for what is swept once a second.
    fn latest(&self, py: Python<'_>) -> Nanos {
        self.gateway.borrow(py).latest()
    }

    fn transport_object(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.transport.borrow().as_ref().map(|transport| transport.object.clone_ref(py))
    }

    /// The client takes no more for now, or takes again. Returns whether that is a request's business.
    fn flow(&self, py: Python<'_>, full: bool) -> bool {
        let request = self.connection.borrow_mut().write_flow(full, self.latest(py));
        if let Some(id) = request {
            Gateway::client_flow(self.gateway.bind(py), id, full);
        }
        request.is_some()
    }

    /// The client has left.
    fn leave(&self, py: Python<'_>) {
        let Left { request, unread } = self.connection.borrow_mut().leave(self.latest(py));
        if let Some(id) = request {
            Gateway::client_gone(self.gateway.bind(py), id);
        }
        if let Some((id, waited)) = unread {
            self.gateway.borrow(py).count_left_early(id.as_deref(), waited);
        }
    }
}

#[pymethods]
impl LaneConnection {
    #[new]
    fn new(gateway: Py<Gateway>, host: Py<PyAny>, terms: Py<LaneTerms>) -> Self {
        let (trusted, connection) = (Cell::new(false), RefCell::default());
        LaneConnection { gateway, host, terms, trusted, connection, transport: RefCell::new(None) }
    }

    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.borrow();
        let watch = this.gateway.borrow(slf.py()).watch.clone();
        let (read_half, write_half) = ways(transport, watch)?;
        let object = transport.clone().unbind();
        this.transport.replace(Some(Transport { object, read_half, write_half }));
        this.connection.replace(ClientConnection::new(this.latest(slf.py())));
        let stays: bool =
            this.host.call_method1(slf.py(), "made", (slf, transport))?.extract(slf.py())?;
        if stays { Ok(()) } else { Self::hand_over(slf) }
    }

    fn data_received(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        Self::received(slf, data)
    }

    /// A client that closes its side has left, as `HAProxy` has it for HTTP. Returning nothing makes
    /// the transport close too.
    fn eof_received(&self, py: Python<'_>) {
        self.leave(py);
    }

    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let _ = exc;
        let this = slf.borrow();
        this.leave(slf.py());
        if let Some(Transport { read_half, write_half, .. }) = this.transport.take() {
            read_half.close();
            write_half.close();
        }
        this.host.call_method1(slf.py(), "lost", (slf,)).map(|_| ())
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.flow(py, true);
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.borrow().flow(slf.py(), false) { Ok(()) } else { Self::advance(slf, b"") }
    }

    // What the host and the registry of connections ask of each.

    /// Whether the peer's word on tenant and priority counts.
    #[getter]
    fn trusted(&self) -> bool {
        self.trusted.get()
    }

    #[setter]
    fn set_trusted(&self, trusted: bool) {
        self.trusted.set(trusted);
    }

    /// The transport, while it is this connection's.
    #[getter]
    fn wire(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.transport_object(py)
    }

    /// Whether more waits for the client than the transport's high-water mark.
    #[getter]
    fn is_held_back(&self) -> bool {
        self.connection.borrow().is_held_back()
    }

    /// Bytes that the client has not taken yet, the kernel's buffer not counted.
    #[getter]
    fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        let half = self.transport.borrow().as_ref().map(|to| to.write_half.clone());
        half.map_or(Ok(0), |half| half.unsent(py))
    }

    /// Whether no request is being read or answered.
    #[getter]
    fn is_idle(&self) -> bool {
        self.connection.borrow().is_idle()
    }

    /// Whether a drain waits for it.
    #[getter]
    fn is_finishing(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.connection.borrow().is_busy() || self.unsent(py)? > 0)
    }

    /// Closes it when what is written has left.
    pub(crate) fn force_close(&self, py: Python<'_>) -> PyResult<()> {
        self.leave(py);
        self.end(py, "close")
    }

    /// Drops it and whatever was not sent.
    pub(crate) fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, "abort")
    }

    /// Cuts or hands over what takes too long. `now`: seconds of the monotonic clock. To be called
    /// every second.
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
