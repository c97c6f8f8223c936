//! `Segment`: the memory that all processes of one Penstock share, as Python holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use penstock_admission::shm::{Watchdog, monotonic};
use penstock_admission::{Health, Owner};
use penstock_core::generation::Generation;
use penstock_core::metrics::{Drift, Gauge, Shard, Total};
use penstock_core::routing::{BackendIndex, RoutingConfig, Table, TierIndex};
use penstock_core::segment::{Memory, Segment as Shared};
use penstock_core::time::{SECOND, in_seconds};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{health_of, known};
use crate::snapshot::{self, Snapshot};

/// A holder of the lock that makes no progress for this long is stuck.
const STUCK: u64 = SECOND;
/// How often the holder is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The shared state. Made once, before the processes are forked.
#[pyclass(frozen, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) generation: Arc<Generation>,
    pub(crate) shared: Shared,
    workers: usize,
    control: Shard,
    /// Whether `watch_lock` must return.
    watch_ended: AtomicBool,
}

impl Segment {
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// Whether a tier has a backend that is usable and known to be healthy.
    fn is_ready(&self, tier: usize) -> bool {
        let tier = &self.table().tiers[tier];
        let admission = &self.shared.admission;
        let is_healthy = |&backend: &BackendIndex| {
            admission.is_usable(backend) && admission.backend(backend).health == Health::Healthy
        };
        tier.concurrency != Some(0) && tier.backends.iter().any(is_healthy)
    }

    pub(crate) fn table(&self) -> &Table {
        &self.generation.table
    }

    fn numbers(&self) -> Snapshot<'_> {
        Snapshot { table: self.table(), shared: &self.shared, workers: self.workers }
    }

    fn backend(&self, backend: u16) -> PyResult<BackendIndex> {
        known("backend", backend, self.table().backends.len())
    }
}

#[pymethods]
impl Segment {
    /// `config`: the routing part of the configuration as JSON. `shared`: in memory that forked processes
    /// inherit; else in ordinary memory, for one process.
    #[new]
    #[pyo3(signature = (config, workers=1, *, shared=true))]
    fn new(config: &str, workers: usize, shared: bool) -> PyResult<Self> {
        let config: RoutingConfig = serde_json::from_str(config)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        if !(1..=64).contains(&workers) {
            return Err(PyValueError::new_err("there are 1 to 64 workers"));
        }
        let table = Table::build(config).map_err(PyValueError::new_err)?;
        let memory = if shared { Memory::Shared } else { Memory::Private };
        let shared = Shared::new(&table, workers, memory, monotonic())
            .map_err(|error| PyOSError::new_err(format!("the shared segment: {error}")))?;
        let control = shared.registry.control();
        let watch_ended = AtomicBool::new(false);
        let generation = Arc::new(Generation::first(table));
        Ok(Segment { generation, shared, workers, control, watch_ended })
    }

    /// The descriptor that becomes readable when a worker has notifications; `None` in ordinary memory.
    fn wake_fd(&self, worker: u16) -> Option<i32> {
        self.shared.wake_fd(worker)
    }

    /// Begins a new generation of a worker, right before it is forked, and returns it.
    fn begin(&self, worker: u16) -> PyResult<u16> {
        Ok(self.shared.admission.begin_worker(known("worker", worker, self.workers)?))
    }

    /// The worker of that generation has died: drops its waiting requests and lets its permits pass through `closing`.
    fn reclaim(&self, worker: u16, generation: u16) -> PyResult<()> {
        let dead = Owner { worker: known("worker", worker, self.workers)?, generation };
        self.shared.registry.shard(worker).set(Gauge::Pid, 0);
        self.shared.admission.reclaim(dead, monotonic());
        Ok(())
    }

    /// Waits until a process has held the lock for a second without progress, and kills it. Returns
    /// its thread id; `None` after `end_watch`. It kills without the GIL, as the thread that has the GIL may
    /// wait for the lock.
    fn watch_lock(&self, py: Python<'_>) -> Option<u32> {
        let watch = || {
            let mut watchdog = Watchdog::new(STUCK);
            while !self.watch_ended.load(Ordering::Relaxed) {
                if let Some(holder) = watchdog.check(self.shared.holder(), monotonic())
                    // If that fails, the next check tries again.
                    && matches!(self.shared.kill(holder), Ok(true))
                {
                    return Some(holder.tid);
                }
                thread::sleep(CHECK_INTERVAL);
            }
            None
        };
        py.detach(watch)
    }

    /// Makes `watch_lock`, which runs in another thread, return within 100 ms.
    fn end_watch(&self) {
        self.watch_ended.store(true, Ordering::Relaxed);
    }

    /// For each worker its pid, 0 if it has none, and when it last ran its timers, in nanoseconds of the
    /// monotonic clock.
    fn worker_heartbeats(&self) -> Vec<(u64, u64)> {
        let gauge = |worker, gauge| self.shared.registry.gauge(worker, gauge);
        let heartbeat = |worker| (gauge(worker, Gauge::Pid), gauge(worker, Gauge::Beat));
        (0..self.workers as u16).map(heartbeat).collect()
    }

    /// Counts log lines that the control process has dropped.
    fn log_dropped(&self, lines: u64) {
        self.control.add(Total::LogDropped, lines);
    }

    /// The result of a probe: `health` is `unknown`, `healthy` or `down`; `serves` the name of the model there, if it is
    /// now known. A backend whose model's name is not known must be down; else this is a `ValueError`. Returns how many
    /// seconds an outage has lasted, if this ends one.
    #[pyo3(signature = (backend, health, serves=None))]
    fn set_backend(
        &self,
        backend: u16,
        health: &str,
        serves: Option<&str>,
    ) -> PyResult<Option<f64>> {
        let backend = self.backend(backend)?;
        let health = health_of(health)?;
        if let Some(name) = serves {
            self.shared.serves.set(usize::from(backend), name);
        }
        if health != Health::Down && self.shared.serves.get(usize::from(backend)).is_none() {
            let name = &self.table().backends[usize::from(backend)].name;
            let message = format!("backend {name}: the name of its model is not known");
            return Err(PyValueError::new_err(message));
        }
        let lasted = self.shared.admission.set_health(backend, health, monotonic());
        for tier in 0..self.table().tiers.len() {
            if self.is_ready(tier) {
                self.shared.set_ready(tier as TierIndex);
            }
        }
        Ok(lasted.map(in_seconds))
    }

    /// A probe found that nothing listens at a backend. If it reset connections just before, it has died.
    fn note_closed(&self, backend: u16) -> PyResult<()> {
        let backend = self.backend(backend)?;
        self.shared.admission.note_refused(backend, monotonic());
        Ok(())
    }

    /// Changes the slots of a backend; 0 drains it.
    fn set_limit(&self, backend: u16, slots: u32) -> PyResult<()> {
        self.shared.admission.set_limits(self.backend(backend)?, slots, monotonic());
        Ok(())
    }

    /// The engine has reported how many tokens its KV memory holds.
    fn set_kv_tokens(&self, backend: u16, tokens: u64) -> PyResult<()> {
        self.shared.admission.learn_kv(self.backend(backend)?, tokens, monotonic());
        Ok(())
    }

    /// The engine has reported how many tokens of prompt and answer one request may have; `None`: it does not report
    /// it.
    #[pyo3(signature = (backend, tokens))]
    fn set_context(&self, backend: u16, tokens: Option<u64>) -> PyResult<()> {
        self.shared.set_context(self.backend(backend)?, tokens);
        Ok(())
    }

    /// For each backend the value that `set_context` got last.
    fn contexts(&self) -> Vec<Option<u64>> {
        (0..self.table().backends.len()).map(|at| self.shared.context(at as BackendIndex)).collect()
    }

    /// For a backend: the slots in use, its limit, when a request last received bytes from it, in seconds of the
    /// monotonic clock (0: never), and how many streams had no first event in time.
    fn liveness(&self, backend: u16) -> PyResult<(u32, Option<u32>, f64, u64)> {
        let backend = self.backend(backend)?;
        let numbers = self.shared.admission.backend(backend);
        let heard = numbers.last_response as f64 / 1e9;
        Ok((numbers.cap.used.slots, numbers.cap.limit(), heard, self.shared.silences(backend)))
    }

    /// For how many seconds the longest-running request of a backend has run; `None`: none runs.
    fn longest_running(&self, backend: u16) -> PyResult<Option<f64>> {
        let granted = self.shared.admission.oldest_running(self.backend(backend)?);
        Ok(granted.map(|granted| monotonic().saturating_sub(granted) as f64 / 1e9))
    }

    /// Counts a signal that a backend's load is not what Penstock has given it.
    fn drift(&self, backend: u16, signal: &str) -> PyResult<()> {
        let known = Drift::ALL.into_iter().find(|drift| drift.name() == signal);
        let signal = known.ok_or_else(|| PyValueError::new_err(format!("no signal {signal:?}")))?;
        let backend = self.backend(backend)?;
        self.control.drift(backend, signal);
        if matches!(signal, Drift::EngineQueue | Drift::Preemptions) {
            self.shared.admission.note_overload(backend);
        }
        Ok(())
    }

    /// The slots in use on a backend.
    fn inflight(&self, backend: u16) -> PyResult<u32> {
        Ok(self.shared.admission.backend(self.backend(backend)?).cap.used.slots)
    }

    /// For each tier: whether it has a healthy backend, and whether it has had one since
    /// the start.
    fn readiness(&self) -> Vec<(bool, bool)> {
        let tiers = 0..self.table().tiers.len();
        tiers.map(|tier| (self.is_ready(tier), self.shared.was_ready(tier as TierIndex))).collect()
    }

    /// The name and the state of each backend.
    fn states(&self) -> Vec<(String, &'static str)> {
        let numbers = self.numbers();
        let backends = self.table().backends.iter().enumerate();
        backends
            .map(|(at, backend)| (backend.name.clone(), numbers.state(at as BackendIndex)))
            .collect()
    }

    /// Runs admission's timers: expires waiting requests, and recovers the permits of dead workers. Call it every
    /// 10 ms, from any number of processes.
    fn tick(&self) {
        self.shared.admission.tick(monotonic());
    }

    /// All numbers of /metrics and of the status page, as `penstock.metrics.exposition` reads them.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.numbers().to_python(py)
    }

    /// The conservation sums, and as `ok` whether all lists and counters agree with them.
    fn invariants<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        snapshot::invariants(py, &self.shared.admission)
    }
}
