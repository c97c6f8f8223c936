//! Passes events to one worker, and makes the calls that they lead to.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use penstock_admission::shm::monotonic;
use penstock_core::metrics::Gauge;
use penstock_core::routing::BackendIndex;
use penstock_core::time::{Nanos, Now};
use penstock_core::worker::{ConnectionId, TICK, Worker};
use pyo3::prelude::*;

use super::clock::Clock;
use super::driver::{ConnectionTable, Driver};
use super::upstream_transport::UpstreamTransport;
use crate::io::PollSet;

/// Opens connections to backends.
pub(crate) trait Connector: Debug {
    /// Begins to open a connection. Returns an object whose `cancel()` gives it up.
    fn connect(
        &self,
        py: Python<'_>,
        runner: &Rc<WorkerRunner>,
        backend: BackendIndex,
        id: ConnectionId,
        transport: Rc<UpstreamTransport>,
    ) -> PyResult<Py<PyAny>>;
}

/// One worker, and the connections on which it runs. It belongs to the thread of its event loop.
#[derive(Debug)]
pub(crate) struct WorkerRunner {
    pub(super) state: RefCell<State>,
    connector: Box<dyn Connector>,
    /// When the last event came.
    last_event: Cell<Nanos>,
    /// What reads plain sockets; `None`: their transports do.
    pub(crate) poll_set: Option<Rc<PollSet>>,
}

/// What the handling of an event borrows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) worker: Worker,
    pub(super) connections: ConnectionTable,
    pub(super) clock: Clock,
    /// When the timers last ran.
    ticked: Nanos,
}

impl WorkerRunner {
    pub(crate) fn new(
        worker: Worker,
        connector: Box<dyn Connector>,
        poll_set: Option<Rc<PollSet>>,
    ) -> Rc<Self> {
        let now = monotonic();
        let (connections, clock) = (ConnectionTable::default(), Clock::new());
        let state = RefCell::new(State { worker, connections, clock, ticked: now });
        Rc::new(WorkerRunner { state, connector, last_event: Cell::new(now), poll_set })
    }

    /// Passes one event to the worker under the borrow, and then makes the deferred calls without it. A panic in the
    /// worker ends the request that it was handling. `None`: there was one.
    pub(super) fn run<R>(
        self: &Rc<Self>,
        py: Python<'_>,
        event: impl FnOnce(&mut Worker, &mut Driver<'_, '_>, Now) -> R,
    ) -> Option<R> {
        let (result, mut deferred) = {
            let State { worker, connections, clock, .. } = &mut *self.state.borrow_mut();
            let now = clock.now();
            self.last_event.set(now.mono);
            let mut driver = Driver { py, connections };
            let result = catch_unwind(AssertUnwindSafe(|| event(worker, &mut driver, now))).ok();
            if result.is_none() {
                // If this panics too, the request and its connection stay lost.
                let _ = catch_unwind(AssertUnwindSafe(|| worker.panicked(&mut driver, now)));
            }
            // A later panic must not be blamed on this request.
            worker.current = None;
            (result, std::mem::take(&mut connections.deferred))
        };
        for call in deferred.drain(..) {
            // A panic in one call must not lose the calls of other connections.
            let run = catch_unwind(AssertUnwindSafe(|| {
                call.run(py, |id, backend, transport| {
                    self.connector.connect(py, self, backend, id, transport)
                })
            }));
            if let Ok(Err(error)) = run {
                error.write_unraisable(py, None);
            }
        }
        let is_due = {
            let mut state = self.state.borrow_mut();
            if state.connections.deferred.capacity() == 0 {
                // Reuse the memory, unless a nested event has left its own.
                state.connections.deferred = deferred;
            }
            self.last_event.get().saturating_sub(state.ticked) >= TICK
        };
        if is_due {
            // Under load events run the timers; the loop's own timer is for quiet times.
            self.tick(py);
        }
        result
    }

    /// Runs every timer that is due.
    pub(crate) fn tick(self: &Rc<Self>, py: Python<'_>) {
        {
            let mut state = self.state.borrow_mut();
            // The wall clock is read once a tick, and follows the monotonic one in between.
            state.clock = Clock::new();
            state.ticked = state.clock.now().mono;
        }
        self.run(py, |worker, io, now| {
            worker.shard.set(Gauge::Beat, now.mono);
            worker.tick(io, now);
        });
    }

    /// Uses the worker without effects.
    pub(crate) fn with_worker<R>(&self, action: impl FnOnce(&mut Worker, &Clock) -> R) -> R {
        let State { worker, clock, .. } = &mut *self.state.borrow_mut();
        action(worker, clock)
    }

    /// The state of a connection, and whether it has been reused. `None`: an event is being handled.
    pub(crate) fn describe(&self, id: ConnectionId) -> Option<(&'static str, bool)> {
        self.state.try_borrow().ok().map(|state| state.worker.describe(id))
    }

    /// When the last event came: at most a tick ago.
    pub(crate) fn last_event(&self) -> Nanos {
        self.last_event.get()
    }
}
