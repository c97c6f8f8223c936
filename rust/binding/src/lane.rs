//! A client's connection on the lane: the asyncio protocol in front of aiohttp (design §1).
//!
//! It serves the requests that it understands in full. At the first that it does not, the connection
//! and all bytes of that request go to aiohttp, and stay there.

use std::cell::RefCell;

use penstock_core::http::{HotHead, head_end, may_be_hot};
use penstock_core::shm::monotonic;
use penstock_core::time::{Nanos, SECOND, seconds};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::client::Call;
use crate::gateway::Gateway;

/// A client that sends ahead is read no further than this beyond the request in hand.
const AHEAD: usize = 64 << 10;
/// A request that takes longer to come is aiohttp's, which has the time-outs for it.
const SLOW: Nanos = SECOND;
/// A connection without a request is closed after this (research/reliability-and-ux.md §1.5).
const IDLE: Nanos = 75 * SECOND;
/// How long a client may leave our bytes unread before it is cut (§1.5, client write stall).
const STALL: Nanos = 30 * SECOND;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a request, or for the rest of its head.
    Head,
    /// Waits for the rest of a body: head and body together have so many bytes.
    Body { head: usize, whole: usize },
    /// A request is being answered.
    Serving,
    /// aiohttp has the connection, or nobody.
    Gone,
}

/// What is to be done once nothing is borrowed.
enum Next {
    Wait,
    /// The bytes of a request, and how many of them are its head.
    Serve(Vec<u8>, usize),
    HandOver(Vec<u8>),
}

/// What a request must keep within to be the lane's.
#[derive(Debug)]
struct Terms {
    /// Bytes.
    head: usize,
    body: u64,
    /// Headers, in lower case, that mean something to aiohttp's side alone.
    special: Vec<String>,
}

/// The client's transport, and what is called of it for every request.
#[derive(Debug)]
struct Transport {
    object: Py<PyAny>,
    write: Py<PyAny>,
    /// This connection's own `done`: a circle, which ends when the transport goes.
    done: Py<PyAny>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    transport: Option<Transport>,
    held: Vec<u8>,
    /// Bytes of `held` in which the end of a head was looked for.
    searched: usize,
    call: Option<Py<Call>>,
    /// A request is being submitted: whoever ends it leaves it to the submitter to go on.
    submitting: bool,
    reading_paused: bool,
    writing_paused: bool,
    /// Since when the phase, or what is held, or what the client leaves unread, is as it is.
    since: Nanos,
    unsent: usize,
}

impl State {
    fn next(&mut self, terms: &Terms) -> Next {
        if self.phase == Phase::Head && !self.held.is_empty() && !self.read_head(terms) {
            return self.hand_over();
        }
        match self.phase {
            Phase::Body { head, whole } if self.held.len() >= whole => {
                let ahead = self.held.split_off(whole);
                (self.phase, self.searched) = (Phase::Serving, 0);
                Next::Serve(std::mem::replace(&mut self.held, ahead), head)
            }
            _ => Next::Wait,
        }
    }

    /// Goes on to the body when the head is complete. Returns whether the request may be the lane's.
    fn read_head(&mut self, terms: &Terms) -> bool {
        if !may_be_hot(&self.held) {
            return false;
        }
        let Some(end) = head_end(&self.held, self.searched) else {
            self.searched = self.held.len();
            return self.searched <= terms.head;
        };
        let mut is_special = false;
        let head = HotHead::parse(&self.held[..end], |name, _| {
            is_special |= terms.special.iter().any(|special| name.eq_ignore_ascii_case(special));
        });
        let is_ours = |head: &HotHead| end <= terms.head && head.body <= terms.body && !is_special;
        let Some(head) = head.filter(is_ours) else { return false };
        self.phase = Phase::Body { head: end, whole: end + head.body as usize };
        true
    }

    fn hand_over(&mut self) -> Next {
        if self.writing_paused {
            // Only with an empty write buffer (contract §6); it is looked at again when there is one.
            return Next::Wait;
        }
        self.phase = Phase::Gone;
        Next::HandOver(std::mem::take(&mut self.held))
    }

    fn is_busy(&self) -> bool {
        matches!(self.phase, Phase::Serving | Phase::Body { .. })
    }
}

/// One client connection, until aiohttp gets it. `host` is told of it: `made(connection, transport)`,
/// which says whether it may stay on the lane, `handed_over(connection, transport, data)`, and
/// `lost(connection)`.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct LaneConnection {
    gateway: Py<Gateway>,
    host: Py<PyAny>,
    terms: Terms,
    state: RefCell<State>,
}

impl LaneConnection {
    /// Goes on as far as what has come allows.
    fn advance(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.borrow();
        loop {
            let next = this.state.borrow_mut().next(&this.terms);
            match next {
                Next::Wait => return Ok(()),
                Next::HandOver(data) => return Self::hand_over(slf, &data),
                Next::Serve(request, head) => this.serve(slf.py(), &request, head)?,
            }
        }
    }

    fn serve(&self, py: Python<'_>, request: &[u8], head: usize) -> PyResult<()> {
        let request_id = request_id(&request[..head]);
        let (write, done) = {
            let mut state = self.state.borrow_mut();
            let Some(Transport { write, done, .. }) = &state.transport else { return Ok(()) };
            let methods = (write.clone_ref(py), done.clone_ref(py));
            state.submitting = true;
            methods
        };
        let gateway = self.gateway.bind(py);
        let body = &request[head..];
        let call =
            Gateway::submit(gateway, body, request_id, true, false, write, done, None, None, None);
        self.state.borrow_mut().submitting = false;
        let Some(call) = call? else { return Ok(()) };
        let call = Py::new(py, call)?;
        let mut state = self.state.borrow_mut();
        if state.phase == Phase::Serving {
            state.call = Some(call.clone_ref(py));
            let is_paused = state.writing_paused;
            drop(state);
            if is_paused {
                call.borrow(py).pause(py);
            }
        }
        Ok(())
    }

    fn hand_over(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        let (this, py) = (slf.borrow(), slf.py());
        let transport = this.state.borrow_mut().transport.take();
        let Some(Transport { object, .. }) = transport else { return Ok(()) };
        let data = PyBytes::new(py, data);
        this.host.call_method1(py, "handed_over", (slf, object, data)).map(|_| ())
    }

    fn transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.borrow().transport.as_ref().map(|transport| transport.object.clone_ref(py))
    }

    fn tell_transport(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.transport(py).map_or(Ok(()), |object| object.call_method0(py, method).map(|_| ()))
    }

    /// The client has left.
    fn leave(&self, py: Python<'_>) {
        let (before, call, held, since) = {
            let mut state = self.state.borrow_mut();
            let before = std::mem::replace(&mut state.phase, Phase::Gone);
            (before, state.call.take(), std::mem::take(&mut state.held), state.since)
        };
        if let Some(call) = call {
            call.borrow(py).gone(py);
        }
        if let Phase::Body { head, .. } = before {
            // Its record is all that is left to do.
            let waited = monotonic().saturating_sub(since) as f64 / SECOND as f64;
            self.gateway.borrow(py).left_early(request_id(&held[..head]), waited);
        }
    }
}

/// The id that a request brings along: the last one, which is that of the nearest proxy.
fn request_id(head: &[u8]) -> Option<&str> {
    let mut found = None;
    HotHead::parse(head, |name, value| {
        if name.eq_ignore_ascii_case("x-request-id") {
            found = std::str::from_utf8(value).ok();
        }
    });
    found
}

#[pymethods]
impl LaneConnection {
    #[new]
    #[pyo3(signature = (gateway, host, *, head, body, special))]
    fn new(
        gateway: Py<Gateway>,
        host: Py<PyAny>,
        head: usize,
        body: u64,
        special: Vec<String>,
    ) -> Self {
        let state = State {
            phase: Phase::Head,
            transport: None,
            held: Vec::new(),
            searched: 0,
            call: None,
            submitting: false,
            reading_paused: false,
            writing_paused: false,
            since: monotonic(),
            unsent: 0,
        };
        let terms = Terms { head, body, special };
        LaneConnection { gateway, host, terms, state: RefCell::new(state) }
    }

    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.borrow();
        let made = Transport {
            object: transport.clone().unbind(),
            write: transport.getattr("write")?.unbind(),
            done: slf.getattr("done")?.unbind(),
        };
        this.state.borrow_mut().transport = Some(made);
        let stays: bool =
            this.host.call_method1(slf.py(), "made", (slf, transport))?.extract(slf.py())?;
        if stays {
            return Ok(());
        }
        this.state.borrow_mut().phase = Phase::Gone;
        Self::hand_over(slf, b"")
    }

    fn data_received(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        let this = slf.borrow();
        let is_ahead = {
            let mut state = this.state.borrow_mut();
            if state.phase == Phase::Gone {
                return Ok(());
            }
            if state.held.is_empty() && state.phase == Phase::Head {
                state.since = monotonic();
            }
            state.held.extend_from_slice(data);
            let is_ahead = state.phase == Phase::Serving && state.held.len() > AHEAD;
            state.reading_paused |= is_ahead;
            is_ahead
        };
        if is_ahead {
            return this.tell_transport(slf.py(), "pause_reading");
        }
        Self::advance(slf)
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
        drop(transport);
        this.host.call_method1(slf.py(), "lost", (slf,)).map(|_| ())
    }

    fn pause_writing(&self, py: Python<'_>) -> PyResult<()> {
        let unsent = self.unsent(py)?;
        let call = {
            let mut state = self.state.borrow_mut();
            (state.writing_paused, state.since, state.unsent) = (true, monotonic(), unsent);
            state.call.as_ref().map(|call| call.clone_ref(py))
        };
        if let Some(call) = call {
            call.borrow(py).pause(py);
        }
        Ok(())
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.borrow();
        let call = {
            let mut state = this.state.borrow_mut();
            (state.writing_paused, state.since) = (false, monotonic());
            state.call.as_ref().map(|call| call.clone_ref(slf.py()))
        };
        if let Some(call) = call {
            call.borrow(slf.py()).resume(slf.py());
            return Ok(());
        }
        Self::advance(slf)
    }

    /// The answer is written.
    fn done(slf: &Bound<'_, Self>, keep_alive: bool) -> PyResult<()> {
        let this = slf.borrow();
        let (was_paused, is_nested) = {
            let mut state = this.state.borrow_mut();
            if state.phase != Phase::Serving {
                return Ok(());
            }
            state.phase = if keep_alive { Phase::Head } else { Phase::Gone };
            (state.call, state.since) = (None, monotonic());
            (std::mem::take(&mut state.reading_paused), state.submitting)
        };
        if !keep_alive {
            return this.tell_transport(slf.py(), "close");
        }
        if was_paused {
            this.tell_transport(slf.py(), "resume_reading")?;
        }
        if is_nested { Ok(()) } else { Self::advance(slf) }
    }

    // What the registry of connections asks of each.

    /// Bytes that the client has not taken yet, the kernel's buffer not counted.
    #[getter]
    fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        let size =
            |object: Py<PyAny>| object.call_method0(py, "get_write_buffer_size")?.extract(py);
        self.transport(py).map_or(Ok(0), size)
    }

    /// Whether no request is being read or answered.
    #[getter]
    fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        !state.is_busy() && state.held.is_empty()
    }

    /// Whether a drain waits for it.
    #[getter]
    fn is_finishing(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.state.borrow().is_busy() || self.unsent(py)? > 0)
    }

    /// Closes it when what is written has left.
    fn force_close(&self, py: Python<'_>) -> PyResult<()> {
        self.leave(py);
        self.tell_transport(py, "close")
    }

    /// Drops it and whatever was not sent.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.tell_transport(py, "abort")
    }

    /// Cuts or hands over what takes too long. `now`: seconds of the monotonic clock. To be called
    /// every second.
    fn sweep(slf: &Bound<'_, Self>, now: f64) -> PyResult<()> {
        let (this, py, now) = (slf.borrow(), slf.py(), seconds(now));
        let unsent = this.unsent(py)?;
        let mut state = this.state.borrow_mut();
        let age = now.saturating_sub(state.since);
        if state.writing_paused {
            if unsent < state.unsent {
                // Slow is not stalled.
                (state.since, state.unsent) = (now, unsent);
            } else if age > STALL {
                drop(state);
                return this.abort(py);
            }
            return Ok(());
        }
        match state.phase {
            Phase::Head | Phase::Body { .. } if !state.held.is_empty() && age > SLOW => {
                if let Next::HandOver(data) = state.hand_over() {
                    drop(state);
                    return Self::hand_over(slf, &data);
                }
                Ok(())
            }
            Phase::Head if state.held.is_empty() && age > IDLE => {
                drop(state);
                this.force_close(py)
            }
            _ => Ok(()),
        }
    }
}
