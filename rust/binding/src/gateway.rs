//! `Gateway`: one worker's data plane, as Python holds it.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use penstock_admission::Owner;
use penstock_admission::shm::monotonic;
use penstock_core::endpoint::{self, Chat, Endpoint};
use penstock_core::exchange::{Client, Output, write_error};
use penstock_core::identity::RequestAttributes;
use penstock_core::metrics::{Gauge, Total};
use penstock_core::openai::{ApiError, Code};
use penstock_core::time::{Nanos, Now, in_seconds};
use penstock_core::worker::{Ids, Outage, RequestId, Submitted, TICK, Worker};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bytes::bytes_of;
use crate::client::{ClientSide, Done};
use crate::clock::Clock;
use crate::driver::{Driver, Transports};
use crate::handle::RequestHandle;
use crate::poller::{Poller, Watch};
use crate::segment::Segment;
use crate::write_half::WriteHalf;

/// What an event borrows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) worker: Worker,
    transports: Transports,
    clock: Clock,
    /// When the timers last ran.
    ticked: Nanos,
}

/// The data plane of one worker. It belongs to the thread of its event loop.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) state: RefCell<State>,
    connector: Py<PyAny>,
    /// When anything last happened.
    latest: Cell<Nanos>,
    /// Who reads sockets, if anybody does.
    pub(crate) watch: Option<Rc<Watch>>,
}

impl Gateway {
    /// Tells the worker of one event under the borrow, then runs what it led to without it. A panic inside costs the
    /// request that was being handled.
    pub(crate) fn run<R>(
        slf: &Bound<'_, Self>,
        tell: impl FnOnce(&mut Worker, &mut Driver<'_, '_>, Now) -> R,
    ) -> Option<R> {
        let this = slf.borrow();
        let (result, mut deferred) = {
            let State { worker, transports, clock, .. } = &mut *this.state.borrow_mut();
            let now = clock.now();
            this.latest.set(now.mono);
            let mut driver = Driver { gateway: slf, transports };
            let result = catch_unwind(AssertUnwindSafe(|| tell(worker, &mut driver, now))).ok();
            if result.is_none() {
                // If even this panics, the request stays lost and its connection with it.
                let _ = catch_unwind(AssertUnwindSafe(|| worker.panicked(&mut driver, now)));
            }
            // It ended well, so a later panic is another's.
            worker.current = None;
            (result, std::mem::take(&mut transports.deferred))
        };
        for call in deferred.drain(..) {
            // The others' calls are not to be lost, whatever becomes of one.
            let run = catch_unwind(AssertUnwindSafe(|| call.run(slf.py(), &this.connector)));
            if let Ok(Err(error)) = run {
                error.write_unraisable(slf.py(), None);
            }
        }
        let is_due = {
            let mut state = this.state.borrow_mut();
            if state.transports.deferred.capacity() == 0 {
                state.transports.deferred = deferred;
            }
            this.latest.get().saturating_sub(state.ticked) >= TICK
        };
        if is_due {
            // While something happens the loop's own timer has nothing to do.
            Self::tick(slf);
        }
        result
    }

    /// Takes a whole request, answers it or begins to. A panic over it is an answer too.
    pub(crate) fn take(
        slf: &Bound<'_, Self>,
        endpoint: &'static dyn Endpoint,
        body: &[u8],
        request_id: Option<&str>,
        options: &AnswerOptions,
        side: ClientSide,
        attributes: RequestAttributes,
    ) -> Option<RequestId> {
        let client = |request_id| {
            let AnswerOptions { keep_alive, http10, headers } = options;
            let (keep_alive, http10, headers) = (*keep_alive, *http10, headers.clone());
            Client { request_id, keep_alive, http10, headers }
        };
        let client_id = slf.borrow().state.borrow_mut().transports.add_client(side);
        let mut started = 0;
        let taken = Self::run(slf, |worker, io, now| {
            started = now.mono;
            let client = client(worker.ids.request_id(request_id));
            let incoming = Submitted { endpoint, body, client, client_id, attributes };
            worker.submit(io, incoming, now)
        });
        if taken.is_none() {
            Self::run(slf, |worker, io, now| {
                if io.transports.awaits(client_id) {
                    // It panicked before there was a request that could be given an answer.
                    let client = client(worker.ids.request_id(request_id));
                    let error = ApiError::new(Code::InternalError, "internal error");
                    worker.reject(io, endpoint, &error, &client, client_id, None, now);
                }
            });
        }
        let id = taken??;
        let overhead = monotonic() - started;
        slf.borrow().state.borrow_mut().worker.note_overhead(id, overhead);
        Some(id)
    }

    /// When the loop last had something to do: at most a tick ago.
    pub(crate) fn latest(&self) -> Nanos {
        self.latest.get()
    }

    /// Counts and logs an inference request whose client left before it was read whole.
    pub(crate) fn count_left_early(&self, request_id: Option<&str>, waited: Nanos) {
        let State { worker, clock, .. } = &mut *self.state.borrow_mut();
        let request_id = worker.ids.request_id(request_id);
        worker.count_left_early(request_id, waited, clock.now());
    }
}

/// How an answer is given, and whether the connection stays open behind it.
#[derive(Debug)]
pub(crate) struct AnswerOptions {
    pub(crate) keep_alive: bool,
    pub(crate) http10: bool,
    /// Lines that the answer's head carries besides, each ended by CRLF.
    pub(crate) headers: Vec<u8>,
}

impl AnswerOptions {
    /// HTTP/1.1's own.
    pub(crate) const KEEP_ALIVE: AnswerOptions =
        AnswerOptions { keep_alive: true, http10: false, headers: Vec::new() };
}

/// The paths that inference requests are posted to.
#[pyfunction]
pub(crate) fn endpoints() -> Vec<&'static str> {
    endpoint::ENDPOINTS.iter().map(|endpoint| endpoint.path()).collect()
}

fn code_of(name: &str) -> PyResult<Code> {
    let known = Code::ALL.iter().find(|code| code.name() == name);
    known.copied().ok_or_else(|| PyValueError::new_err(format!("no error code {name:?}")))
}

#[pymethods]
impl Gateway {
    /// One life of a worker on a segment. `connect(backend, protocol)` is called to open a
    /// connection; what it returns has `cancel()`.
    #[new]
    #[pyo3(signature = (segment, connect, *, worker=0, generation=0, poller=None))]
    fn new(
        segment: &Segment,
        connect: Py<PyAny>,
        worker: u16,
        generation: u16,
        poller: Option<&Poller>,
    ) -> PyResult<Self> {
        if usize::from(worker) >= segment.workers() {
            return Err(PyValueError::new_err(format!("no worker {worker}")));
        }
        let now = monotonic();
        let ids = Ids::seeded(RandomState::new().hash_one(std::process::id()));
        let owner = Owner { worker, generation };
        let worker =
            Worker::new(segment.generation.clone(), segment.shared.clone(), owner, ids, now);
        worker.shard.set(Gauge::Pid, u64::from(std::process::id()));
        let (transports, clock) = (Transports::default(), Clock::new());
        let state = RefCell::new(State { worker, transports, clock, ticked: now });
        let watch = poller.map(Poller::watch);
        Ok(Gateway { state, connector: connect, latest: Cell::new(now), watch })
    }

    /// Takes a whole request that was posted to `path`, one of `endpoints()`. The answer goes to `write` piece by piece; then `done`
    /// is called once, with whether the connection may stay open. `headers`: lines that its head
    /// carries besides, each ended by CRLF.
    #[pyo3(signature = (path, body, *, request_id, keep_alive, http10, write, done, attributes=None, headers=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    pub(crate) fn submit(
        slf: &Bound<'_, Self>,
        path: &str,
        body: &[u8],
        request_id: Option<&str>,
        keep_alive: bool,
        http10: bool,
        write: Py<PyAny>,
        done: Py<PyAny>,
        attributes: Option<&crate::attributes::RequestAttributes>,
        headers: Option<&[u8]>,
    ) -> PyResult<Option<RequestHandle>> {
        let endpoint = endpoint::at(path)
            .ok_or_else(|| PyValueError::new_err(format!("no endpoint {path:?}")))?;
        let attributes = attributes.map_or_else(RequestAttributes::default, |one| one.0.clone());
        let headers = headers.unwrap_or_default().to_vec();
        let options = AnswerOptions { keep_alive, http10, headers };
        let side = ClientSide { half: WriteHalf::through(write), done: Done::Callback(done) };
        let id = Self::take(slf, endpoint, body, request_id, &options, side, attributes);
        Ok(id.map(|id| RequestHandle::new(slf.clone().unbind(), id)))
    }

    /// The bytes of an error answer that Python's side gives by itself. `counted`: it ended an
    /// inference request, so it belongs in the log and the metrics.
    #[pyo3(signature = (code, message, *, param=None, request_id, keep_alive, http10, counted, headers=None, retry_after_ms=None, seconds=0.0))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn error_answer<'py>(
        slf: &Bound<'py, Self>,
        code: &str,
        message: &str,
        param: Option<&str>,
        request_id: Option<&str>,
        keep_alive: bool,
        http10: bool,
        counted: bool,
        headers: Option<&[u8]>,
        retry_after_ms: Option<u64>,
        seconds: f64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut error = ApiError::new(code_of(code)?, message);
        error.param = param.map(str::to_owned);
        error.retry_after_ms = retry_after_ms;
        let total = penstock_core::time::seconds(seconds);
        let this = slf.borrow();
        let State { worker, clock, .. } = &mut *this.state.borrow_mut();
        let now = clock.now();
        let request_id = worker.ids.request_id(request_id);
        let client = Client { request_id, keep_alive, http10, headers: Vec::new() };
        let mut output = Output::default();
        let more = headers.unwrap_or_default();
        let more = |lines: &mut Vec<u8>| lines.extend_from_slice(more);
        write_error(&Chat, &error, &client, more, now, &mut output);
        if counted {
            worker.count_rejected(&error, client.request_id, None, total, now);
        }
        output
            .assemble(|pieces| bytes_of(slf.py(), pieces, 0))
            .map(|bytes| bytes.into_bound(slf.py()))
    }

    /// A valid request id: the given one, or a new one.
    #[pyo3(signature = (own))]
    fn request_id(&self, own: Option<&str>) -> String {
        self.state.borrow_mut().worker.ids.request_id(own)
    }

    /// There is mail: what others have granted is started, what was turned away is told.
    fn wake(slf: &Bound<'_, Self>) {
        Self::run(slf, |worker, io, now| worker.woken(io, now));
    }

    /// What this worker is like: open client connections, and the lateness of its loop in seconds.
    fn gauges(&self, connections: u64, loop_lag: f64) {
        let worker = &self.state.borrow().worker;
        worker.shard.set(Gauge::Connections, connections);
        worker.shard.set(Gauge::LoopLag, penstock_core::time::seconds(loop_lag));
    }

    /// Counts log lines that this worker has dropped.
    fn log_dropped(&self, lines: u64) {
        self.state.borrow().worker.shard.add(Total::LogDropped, lines);
    }

    /// Runs every timer that is due, as whatever happens does too. To be called every 10 ms while
    /// `is_waiting`, and every 50 ms otherwise.
    pub(crate) fn tick(slf: &Bound<'_, Self>) {
        {
            let this = slf.borrow();
            let mut state = this.state.borrow_mut();
            // The wall clock is read once a tick, and goes on with the monotonic one in between.
            state.clock = Clock::new();
            state.ticked = state.clock.now().mono;
        }
        Self::run(slf, |worker, io, now| {
            worker.shard.set(Gauge::Beat, now.mono);
            worker.tick(io, now);
        });
    }

    /// From now on every new request is refused with `draining`.
    fn drain(slf: &Bound<'_, Self>) {
        Self::run(slf, |worker, io, _| worker.drain(io));
    }

    /// Ends what still runs in these tiers with a `draining` error.
    #[allow(clippy::needless_pass_by_value)] // PyO3 hands lists over as vectors
    fn cut(slf: &Bound<'_, Self>, tiers: Vec<u16>) {
        Self::run(slf, |worker, io, now| worker.cut(io, &tiers, now));
    }

    /// Ends everything at once: open requests with a `draining` error, connections by force.
    fn close(slf: &Bound<'_, Self>) {
        Self::run(slf, |worker, io, now| worker.shut_down(io, now));
    }

    /// Counts and logs an inference request whose client left before it was read whole.
    #[pyo3(signature = (request_id, seconds))]
    fn left_early(&self, request_id: Option<&str>, seconds: f64) {
        self.count_left_early(request_id, penstock_core::time::seconds(seconds));
    }

    /// Requests in hand, lingering ones included.
    #[getter]
    fn active(&self) -> usize {
        self.state.borrow().worker.active()
    }

    /// Whether requests are in hand and nothing has happened just now: only a timer can go on.
    #[getter]
    fn is_waiting(&self) -> bool {
        self.active() > 0 && monotonic().saturating_sub(self.latest.get()) >= TICK / 2
    }

    /// The outages that have begun or ended since the last call: the backend's name, why requests do
    /// not get through to it (`None`: they do again), and how many seconds none did.
    fn take_outages(&self) -> Vec<(String, Option<String>, f64)> {
        let worker = &mut self.state.borrow_mut().worker;
        let outages = std::mem::take(&mut worker.outages);
        let table = &worker.generation().table;
        let name = |backend: u16| table.backends[usize::from(backend)].name.clone();
        let told = outages.into_iter().map(|outage| match outage {
            Outage::Began { backend, reason } => (name(backend), Some(reason), 0.0),
            Outage::Ended { backend, lasted } => (name(backend), None, in_seconds(lasted)),
        });
        told.collect()
    }

    /// The log lines since the last call, each ended by LF.
    fn take_log<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let worker = &mut self.state.borrow_mut().worker;
        let lines = PyBytes::new(py, &worker.log);
        // It is as long the next time, so it keeps its memory.
        worker.log.clear();
        lines
    }
}
