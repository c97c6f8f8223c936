//! What connections tell the worker, each event under one borrow of it.

use penstock_admission::shm::monotonic;
use penstock_core::exchange::Failure;
use penstock_core::worker::{ConnectionId, RequestId};
use pyo3::prelude::*;

use crate::gateway::Gateway;

impl Gateway {
    pub(crate) fn connected(slf: &Bound<'_, Self>, id: ConnectionId) {
        Self::run(slf, |worker, io, now| worker.connected(io, id, now));
    }

    pub(crate) fn connect_failed(
        slf: &Bound<'_, Self>,
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
        Self::run(slf, |worker, io, now| worker.connect_failed(io, id, &failure, now));
    }

    pub(crate) fn upstream_data(slf: &Bound<'_, Self>, id: ConnectionId, data: &[u8]) {
        let mut started = 0;
        Self::run(slf, |worker, io, now| {
            started = now.mono;
            worker.upstream_bytes(io, id, data, now);
        });
        let this = slf.borrow();
        let worker = &mut this.state.borrow_mut().worker;
        if let Some((tier, before)) = worker.answered.take() {
            let own = before + (monotonic() - started);
            worker.shard.overhead(tier, own);
        }
    }

    pub(crate) fn upstream_eof(slf: &Bound<'_, Self>, id: ConnectionId) {
        Self::run(slf, |worker, io, now| worker.upstream_eof(io, id, now));
    }

    /// The transport is gone. `broken`: by a reset rather than an orderly end.
    pub(crate) fn upstream_lost(slf: &Bound<'_, Self>, id: ConnectionId, broken: bool) {
        Self::run(slf, |worker, io, now| worker.upstream_lost(io, id, broken, now));
    }

    pub(crate) fn client_gone(slf: &Bound<'_, Self>, id: RequestId) {
        Self::run(slf, |worker, io, now| worker.client_gone(io, id, now));
    }

    pub(crate) fn client_flow(slf: &Bound<'_, Self>, id: RequestId, full: bool) {
        Self::run(slf, |worker, io, now| worker.client_flow(io, id, full, now));
    }
}
