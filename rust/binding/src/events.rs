//! What connections tell the gateway, each event under one hold of the engine.

use penstock_admission::shm::monotonic;
use penstock_core::exchange::Failure;
use pyo3::prelude::*;

use crate::calls::CallKey;
use crate::gateway::Gateway;
use crate::upstream::{Duty, UpstreamConnection};

impl Gateway {
    pub(crate) fn connected(slf: &Bound<'_, Self>, connection: &Bound<'_, UpstreamConnection>) {
        let key = serving(connection);
        Self::run(slf, key, |engine, now| engine.connected(slf, connection, now));
    }

    pub(crate) fn connect_failed(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, UpstreamConnection>,
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
        Self::run(slf, serving(connection), |engine, now| {
            engine.connect_failed(slf, &connection.borrow(), &failure, now);
        });
    }

    pub(crate) fn upstream_data(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, UpstreamConnection>,
        data: &[u8],
    ) {
        let mut started = 0;
        Self::run(slf, serving(connection), |engine, now| {
            started = now.mono;
            engine.upstream_data(slf, connection, data, now);
        });
        let this = slf.borrow();
        let mut engine = this.engine.borrow_mut();
        if let Some((tier, before)) = engine.answered.take() {
            let own = before + (monotonic() - started);
            engine.shard.overhead(tier, own);
        }
    }

    pub(crate) fn upstream_eof(slf: &Bound<'_, Self>, connection: &Bound<'_, UpstreamConnection>) {
        let key = serving(connection);
        Self::run(slf, key, |engine, now| engine.upstream_eof(slf, connection, now));
    }

    pub(crate) fn upstream_lost(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, UpstreamConnection>,
        broken: bool,
    ) {
        let key = serving(connection);
        Self::run(slf, key, |engine, now| engine.upstream_lost(slf, connection, broken, now));
    }

    pub(crate) fn client_gone(slf: &Bound<'_, Self>, key: CallKey) {
        Self::run(slf, Some(key), |engine, now| engine.client_gone(slf, key, now));
    }

    pub(crate) fn client_flow(slf: &Bound<'_, Self>, key: CallKey, full: bool) {
        Self::run(slf, Some(key), |engine, now| engine.client_flow(slf.py(), key, full, now));
    }
}

fn serving(connection: &Bound<'_, UpstreamConnection>) -> Option<CallKey> {
    match connection.borrow().duty() {
        Duty::Serving(key) => Some(key),
        _ => None,
    }
}
