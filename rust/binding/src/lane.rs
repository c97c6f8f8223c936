//! A client's connection on the lane: the asyncio protocol in front of aiohttp.
//!
//! It serves the requests that it understands in full. At one that it does not, the connection and all
//! bytes of that request go to aiohttp; a later request may bring it back (`server/lane.py`).

mod leaving;
mod reading;
mod state;
pub(crate) mod terms;

use std::cell::{Cell, RefCell};

use penstock_core::endpoint::ENDPOINTS;
use penstock_core::time::{Nanos, seconds};
use penstock_wire::http::{Request, Taken};
use pyo3::prelude::*;
use terms::LaneTerms;

use crate::calls::{ClientSide, Done};
use crate::faults;
use crate::gateway::{Gateway, Manners};
use crate::poller::Reader;
use crate::standing::Standing;
use crate::transport::ways;
use state::{Overdue, State, Transport};

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
    state: RefCell<State>,
}

impl LaneConnection {
    /// Goes on with what has come, as far as it allows.
    fn advance(slf: &Bound<'_, Self>, mut data: &[u8]) -> PyResult<()> {
        let this = slf.borrow();
        loop {
            // Decided under the borrow, done without it.
            let taken = {
                let mut state = this.state.borrow_mut();
                if state.writing_paused {
                    state.intake.keep(data);
                    return Ok(());
                }
                state.intake.take(&this.terms.get().terms, data)
            };
            match taken {
                Taken::Nothing => return this.read_on(slf.py()),
                Taken::Foreign => return Self::hand_over(slf),
                Taken::Request(request) => {
                    let Some(standing) = this.terms.get().standing(&request, this.trusted.get())
                    else {
                        this.state.borrow_mut().intake.put_back(request);
                        return Self::hand_over(slf);
                    };
                    Self::serve(slf, &request, standing);
                }
            }
            data = b"";
        }
    }

    fn serve(slf: &Bound<'_, Self>, request: &Request<'_>, standing: Standing) {
        let (this, py) = (slf.borrow(), slf.py());
        let side = {
            let mut state = this.state.borrow_mut();
            let Some(transport) = &state.transport else { return };
            let outlet = transport.outlet.clone();
            state.submitting = true;
            ClientSide { outlet, done: Done::Lane(slf.clone().unbind()) }
        };
        let gateway = this.gateway.bind(py);
        let id = LaneTerms::request_id(request);
        let (endpoint, body) = (ENDPOINTS[request.path()], request.body());
        let call = Gateway::take(gateway, endpoint, body, id, &Manners::KEEP_ALIVE, side, standing);
        let is_paused = {
            let mut state = this.state.borrow_mut();
            state.submitting = false;
            if !state.intake.is_serving() {
                return;
            }
            state.call = call;
            state.writing_paused
        };
        if let (Some(key), true) = (call, is_paused) {
            Gateway::client_flow(gateway, key, true);
        }
    }

    /// The answer is written.
    pub(crate) fn done(slf: &Bound<'_, Self>, keep_alive: bool) -> PyResult<()> {
        let this = slf.borrow();
        let submitting = {
            let mut state = this.state.borrow_mut();
            if !state.intake.is_serving() {
                return Ok(());
            }
            (state.call, state.since) = (None, this.latest(slf.py()));
            if keep_alive {
                state.intake.finished();
            } else {
                state.intake.leave();
            }
            state.submitting
        };
        faults::check("done");
        if !keep_alive {
            return Self::close_gently(slf);
        }
        if let Some(inlet) = this.inlet() {
            // There will be more of it than one request.
            inlet.watch(slf.py(), || Reader::Client(slf.clone().unbind()))?;
        }
        if submitting { Ok(()) } else { Self::advance(slf, b"") }
    }

    /// The time of the loop's last turn: good enough for what is swept once a second.
    fn latest(&self, py: Python<'_>) -> Nanos {
        self.gateway.borrow(py).latest()
    }

    fn transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.borrow().transport.as_ref().map(|transport| transport.object.clone_ref(py))
    }

    /// The client takes no more for now, or takes again.
    fn flow(&self, py: Python<'_>, full: bool) -> bool {
        let call = {
            let mut state = self.state.borrow_mut();
            state.writing_paused = full;
            state.call
        };
        if let Some(key) = call {
            Gateway::client_flow(self.gateway.bind(py), key, full);
        }
        call.is_some()
    }

    /// The client has left.
    fn leave(&self, py: Python<'_>) {
        let (call, early) = {
            let mut state = self.state.borrow_mut();
            // Of a request whose head had come a record is all that is left to do.
            let early = state.intake.is_reading_body().then(|| {
                let waited = self.latest(py).saturating_sub(state.since);
                (LaneTerms::request_id_of(&state.intake).map(str::to_owned), waited)
            });
            state.intake.leave();
            (state.call.take(), early)
        };
        if let Some(key) = call {
            Gateway::client_gone(self.gateway.bind(py), key);
        }
        if let Some((id, waited)) = early {
            self.gateway.borrow(py).left(id.as_deref(), waited);
        }
    }
}

#[pymethods]
impl LaneConnection {
    #[new]
    fn new(gateway: Py<Gateway>, host: Py<PyAny>, terms: Py<LaneTerms>) -> Self {
        let (trusted, state) = (Cell::new(false), RefCell::default());
        LaneConnection { gateway, host, terms, trusted, state }
    }

    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.borrow();
        {
            let watch = this.gateway.borrow(slf.py()).watch.clone();
            let (inlet, outlet) = ways(transport, watch)?;
            let object = transport.clone().unbind();
            let mut state = this.state.borrow_mut();
            state.transport = Some(Transport { object, inlet, outlet });
            state.since = this.latest(slf.py());
        }
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
        let transport = this.state.borrow_mut().transport.take();
        if let Some(Transport { inlet, outlet, .. }) = transport {
            inlet.close();
            outlet.close();
        }
        this.host.call_method1(slf.py(), "lost", (slf,)).map(|_| ())
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.flow(py, true);
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.borrow();
        if this.flow(slf.py(), false) {
            return Ok(());
        }
        // What waited for the client goes on, and has its whole time from now on.
        this.state.borrow_mut().since = this.latest(slf.py());
        Self::advance(slf, b"")
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
        self.transport(py)
    }

    /// Whether more waits for the client than the transport's high-water mark.
    #[getter]
    fn is_held_back(&self) -> bool {
        self.state.borrow().writing_paused
    }

    /// Bytes that the client has not taken yet, the kernel's buffer not counted.
    #[getter]
    fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        let outlet = self.state.borrow().transport.as_ref().map(|to| to.outlet.clone());
        outlet.map_or(Ok(0), |outlet| outlet.unsent(py))
    }

    /// Whether no request is being read or answered.
    #[getter]
    fn is_idle(&self) -> bool {
        self.state.borrow().is_idle()
    }

    /// Whether a drain waits for it.
    #[getter]
    fn is_finishing(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.state.borrow().is_busy() || self.unsent(py)? > 0)
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
        let overdue = this.state.borrow().overdue(seconds(now));
        match overdue {
            Overdue::Nothing => Ok(()),
            Overdue::Request => Self::hand_over(slf),
            Overdue::Idle => this.force_close(slf.py()),
        }
    }
}
