//! `Gateway`: one worker's data plane, as Python holds it.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use penstock_admission::Owner;
use penstock_admission::shm::monotonic;
use penstock_core::endpoint::{self, Chat};
use penstock_core::exchange::{Client, Output, write_error};
use penstock_core::identity::RequestAttributes;
use penstock_core::metrics::{Gauge, Total};
use penstock_core::openai::{ApiError, Code};
use penstock_core::time::in_seconds;
use penstock_core::worker::{Ids, Outage, TICK, Worker};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::handle::RequestHandle;
use crate::io::{Poller, WriteHalf, join_bytes};
use crate::runner::{AnswerListener, AnswerOptions, ClientSide, Submission, WorkerRunner};
use crate::segment::Segment;
use crate::upstream::PythonConnector;

/// The data plane of one worker. It belongs to the thread of its event loop.
#[pyclass(unsendable, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) runner: Rc<WorkerRunner>,
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

/// A Python function that is called once an answer is complete.
#[derive(Debug)]
struct Callback(Py<PyAny>);

impl AnswerListener for Callback {
    fn answer_done(&self, py: Python<'_>, keep_alive: bool) -> PyResult<()> {
        self.0.call1(py, (keep_alive,)).map(|_| ())
    }
}

#[pymethods]
impl Gateway {
    /// One generation of a worker on a segment. `connect(backend, protocol)` is called to open a
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
        let ids = Ids::seeded(RandomState::new().hash_one(std::process::id()));
        let owner = Owner { worker, generation };
        let (generation, shared) = (segment.generation.clone(), segment.shared.clone());
        let worker = Worker::new(generation, shared, owner, ids, monotonic());
        worker.shard.set(Gauge::Pid, u64::from(std::process::id()));
        let connector = Box::new(PythonConnector(connect));
        let runner = WorkerRunner::new(worker, connector, poller.map(Poller::poll_set));
        Ok(Gateway { runner })
    }

    /// Submits a whole request that was posted to `path`, one of `endpoints()`. The answer goes to `write` in pieces;
    /// then `done` is called once, with whether the connection may stay open. `headers`: more lines for the
    /// answer's head, each ended by CRLF.
    #[pyo3(signature = (path, body, *, request_id, keep_alive, http10, write, done, attributes=None, headers=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn submit(
        &self,
        py: Python<'_>,
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
        let options = &AnswerOptions { keep_alive, http10, headers };
        let (write_half, listener) = (WriteHalf::of_function(write), Rc::new(Callback(done)));
        let side = ClientSide { write_half, listener };
        let submission = Submission { endpoint, body, request_id, options, side, attributes };
        let id = self.runner.submit(py, submission);
        Ok(id.map(|id| RequestHandle::new(self.runner.clone(), id)))
    }

    /// The bytes of an error answer that Python gives without the worker. `counted`: it ended an
    /// inference request, so it is counted and logged.
    #[pyo3(signature = (code, message, *, param=None, request_id, keep_alive, http10, counted, headers=None, retry_after_ms=None, seconds=0.0))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of Python
    fn error_answer<'py>(
        &self,
        py: Python<'py>,
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
        let mut output = Output::default();
        self.runner.with_worker(|worker, clock| {
            let now = clock.now();
            let request_id = worker.ids.request_id(request_id);
            let client = Client { request_id, keep_alive, http10, headers: Vec::new() };
            let more = headers.unwrap_or_default();
            let more = |lines: &mut Vec<u8>| lines.extend_from_slice(more);
            write_error(&Chat, &error, &client, more, now, &mut output);
            if counted {
                worker.count_rejected(&error, client.request_id, None, total, now);
            }
        });
        output.assemble(|pieces| join_bytes(py, pieces, 0)).map(|bytes| bytes.into_bound(py))
    }

    /// The given request id if it is valid, else a new one.
    #[pyo3(signature = (own))]
    fn request_id(&self, own: Option<&str>) -> String {
        self.runner.with_worker(|worker, _| worker.ids.request_id(own))
    }

    /// Takes admission's notifications: starts granted requests, and answers refused ones.
    fn wake(&self, py: Python<'_>) {
        self.runner.wake(py);
    }

    /// Sets this worker's gauges: open client connections, and by how many seconds its loop is late.
    fn gauges(&self, connections: u64, loop_lag: f64) {
        self.runner.with_worker(|worker, _| {
            worker.shard.set(Gauge::Connections, connections);
            worker.shard.set(Gauge::LoopLag, penstock_core::time::seconds(loop_lag));
        });
    }

    /// Counts log lines that this worker has dropped.
    fn log_dropped(&self, lines: u64) {
        self.runner.with_worker(|worker, _| worker.shard.add(Total::LogDropped, lines));
    }

    /// Runs every timer that is due. Events do so too. Call it every 10 ms while `is_waiting`, and every 50 ms
    /// otherwise.
    fn tick(&self, py: Python<'_>) {
        self.runner.tick(py);
    }

    /// Refuses every new request with `draining` from now on.
    fn drain(&self, py: Python<'_>) {
        self.runner.drain(py);
    }

    /// Ends the running requests of these tiers with a `draining` error.
    #[allow(clippy::needless_pass_by_value)] // PyO3 passes lists as vectors
    fn cut(&self, py: Python<'_>, tiers: Vec<u16>) {
        self.runner.cut(py, &tiers);
    }

    /// Ends everything at once: open requests with a `draining` error, connections by force.
    fn close(&self, py: Python<'_>) {
        self.runner.shut_down(py);
    }

    /// Counts and logs an inference request whose client left before the request was complete.
    #[pyo3(signature = (request_id, seconds))]
    fn count_incomplete_request(&self, request_id: Option<&str>, seconds: f64) {
        let waited = penstock_core::time::seconds(seconds);
        self.runner.count_incomplete_request(request_id, waited);
    }

    /// Requests that have not ended, those included whose answer is complete and whose backend is not.
    #[getter]
    fn active(&self) -> usize {
        self.runner.with_worker(|worker, _| worker.active())
    }

    /// Whether there are requests and no event has come just now: only a timer can make progress.
    #[getter]
    fn is_waiting(&self) -> bool {
        self.active() > 0 && monotonic().saturating_sub(self.runner.last_event()) >= TICK / 2
    }

    /// The outages that have begun or ended since the last call: the backend's name, why requests
    /// fail to reach it (`None`: they reach it again), and how many seconds the outage has lasted.
    fn take_outages(&self) -> Vec<(String, Option<String>, f64)> {
        self.runner.with_worker(|worker, _| {
            let outages = std::mem::take(&mut worker.outages);
            let table = &worker.generation().table;
            let name = |backend: u16| table.backends[usize::from(backend)].name.clone();
            let entries = outages.into_iter().map(|outage| match outage {
                Outage::Began { backend, reason } => (name(backend), Some(reason), 0.0),
                Outage::Ended { backend, lasted } => (name(backend), None, in_seconds(lasted)),
            });
            entries.collect()
        })
    }

    /// The access log lines since the last call, each ended by LF.
    fn take_log<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.runner.with_worker(|worker, _| {
            let lines = PyBytes::new(py, &worker.log);
            // Keeps its memory for the next lines.
            worker.log.clear();
            lines
        })
    }
}
