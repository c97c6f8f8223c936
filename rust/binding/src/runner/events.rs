//! The events of connections and of the process, each one call of the worker.

use std::rc::Rc;

use penstock_admission::shm::monotonic;
use penstock_core::exchange::Failure;
use penstock_core::time::Nanos;
use penstock_core::worker::{ConnectionId, RequestId};
use pyo3::prelude::*;

use super::worker_runner::WorkerRunner;

impl WorkerRunner {
    pub(crate) fn connected(self: &Rc<Self>, py: Python<'_>, id: ConnectionId) {
        self.run(py, |worker, io, now| worker.connected(io, id, now));
    }

    /// `kind`: `refused`, `connect`, `timeout` or `tls`.
    pub(crate) fn connect_failed(
        self: &Rc<Self>,
        py: Python<'_>,
        id: ConnectionId,
        kind: &str,
        detail: &str,
    ) {
        let detail = detail.to_owned();
        let failure = match kind {
            "tls" => Failure::Tls { detail },
            "timeout" => Failure::ConnectTimeout,
            "refused" => Failure::ConnectRefused { detail },
            _ => Failure::Connect { detail },
        };
        self.run(py, |worker, io, now| worker.connect_failed(io, id, &failure, now));
    }

    pub(crate) fn upstream_data(self: &Rc<Self>, py: Python<'_>, id: ConnectionId, data: &[u8]) {
        let mut started = 0;
        self.run(py, |worker, io, now| {
            started = now.mono;
            worker.upstream_bytes(io, id, data, now);
        });
        let worker = &mut self.state.borrow_mut().worker;
        if let Some((tier, before)) = worker.answered.take() {
            let own = before + (monotonic() - started);
            worker.shard.overhead(tier, own);
        }
    }

    pub(crate) fn upstream_eof(self: &Rc<Self>, py: Python<'_>, id: ConnectionId) {
        self.run(py, |worker, io, now| worker.upstream_eof(io, id, now));
    }

    /// The transport is gone. `broken`: by a reset rather than an orderly close.
    pub(crate) fn upstream_lost(self: &Rc<Self>, py: Python<'_>, id: ConnectionId, broken: bool) {
        self.run(py, |worker, io, now| worker.upstream_lost(io, id, broken, now));
    }

    pub(crate) fn client_gone(self: &Rc<Self>, py: Python<'_>, id: RequestId) {
        self.run(py, |worker, io, now| worker.client_gone(io, id, now));
    }

    /// `full`: the client's transport buffers more than its high-water mark.
    pub(crate) fn client_flow(self: &Rc<Self>, py: Python<'_>, id: RequestId, full: bool) {
        self.run(py, |worker, io, now| worker.client_flow(io, id, full, now));
    }

    /// Counts and logs an inference request whose client left before the request was complete.
    pub(crate) fn count_incomplete_request(&self, request_id: Option<&str>, waited: Nanos) {
        self.with_worker(|worker, clock| {
            let request_id = worker.ids.request_id(request_id);
            worker.count_left_early(request_id, waited, clock.now());
        });
    }

    /// Admission has notifications for this worker.
    pub(crate) fn wake(self: &Rc<Self>, py: Python<'_>) {
        self.run(py, |worker, io, now| worker.woken(io, now));
    }

    pub(crate) fn drain(self: &Rc<Self>, py: Python<'_>) {
        self.run(py, |worker, io, _| worker.drain(io));
    }

    pub(crate) fn cut(self: &Rc<Self>, py: Python<'_>, tiers: &[u16]) {
        self.run(py, |worker, io, now| worker.cut(io, tiers, now));
    }

    pub(crate) fn shut_down(self: &Rc<Self>, py: Python<'_>) {
        self.run(py, |worker, io, now| worker.shut_down(io, now));
    }
}
