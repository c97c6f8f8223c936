//! The worker's effects on real connections: ids to transports and back.
//!
//! What a socket takes at once is written at once; every call into Python waits in a list until the worker is no longer
//! borrowed, because a transport's `write` may call back into Penstock (`pause_writing`) before it returns.

use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use penstock_core::worker::{ClientId, ConnectionId, Effects, Slab};
use pyo3::prelude::*;

use crate::client::ClientSide;
use crate::deferred::Deferred;
use crate::gateway::Gateway;
use crate::upstream::UpstreamConnection;
use crate::write_half::WriteHalf;

/// What the worker's ids stand for.
#[derive(Debug, Default)]
pub(crate) struct Transports {
    clients: Slab<ClientSide>,
    /// By the place of their id.
    connections: Vec<Option<Py<UpstreamConnection>>>,
    pub(crate) deferred: Vec<Deferred>,
}

impl Transports {
    pub(crate) fn add_client(&mut self, side: ClientSide) -> ClientId {
        ClientId(self.clients.insert(|_| side))
    }

    /// Whether a client still waits for its answer.
    pub(crate) fn awaits(&self, client: ClientId) -> bool {
        self.clients.get(client.0).is_some()
    }

    /// A connection is gone by itself: nothing more is done to it.
    pub(crate) fn forget(&mut self, connection: ConnectionId) -> Option<Py<UpstreamConnection>> {
        self.connections.get_mut(connection.place())?.take()
    }

    fn connection(&self, id: ConnectionId) -> Option<&Py<UpstreamConnection>> {
        self.connections.get(id.place())?.as_ref()
    }
}

/// The [`Effects`] of one event.
pub(crate) struct Driver<'a, 'py> {
    pub(crate) gateway: &'a Bound<'py, Gateway>,
    pub(crate) transports: &'a mut Transports,
}

impl Driver<'_, '_> {
    fn write(&mut self, half: &Rc<WriteHalf>, pieces: &[&[u8]]) {
        self.transports.deferred.extend(half.send(self.gateway.py(), pieces));
    }

    fn defer(&mut self, method: Option<Py<PyAny>>) {
        self.transports.deferred.extend(method.map(Deferred::Call));
    }

    fn with<R>(
        &self,
        id: ConnectionId,
        look: impl FnOnce(&UpstreamConnection, Python<'_>) -> R,
    ) -> Option<R> {
        let py = self.gateway.py();
        self.transports.connection(id).map(|connection| look(&connection.borrow(py), py))
    }
}

impl Effects for Driver<'_, '_> {
    fn write_client(&mut self, client: ClientId, pieces: &[&[u8]]) {
        if let Some(side) = self.transports.clients.get(client.0) {
            let deferred = side.half.send(self.gateway.py(), pieces);
            self.transports.deferred.extend(deferred);
        }
    }

    fn answer_done(&mut self, client: ClientId, keep_alive: bool) {
        if let Some(side) = self.transports.clients.remove(client.0) {
            self.transports.deferred.push(Deferred::Done(side.done, keep_alive));
        }
    }

    fn drop_client(&mut self, client: ClientId) {
        self.transports.clients.remove(client.0);
    }

    fn connect(&mut self, connection: ConnectionId, backend: BackendIndex) {
        let py = self.gateway.py();
        let made = UpstreamConnection::new(self.gateway.clone().unbind(), backend, connection);
        match Py::new(py, made) {
            Ok(made) => {
                let place = connection.place();
                if self.transports.connections.len() <= place {
                    self.transports.connections.resize_with(place + 1, || None);
                }
                self.transports.connections[place] = Some(made.clone_ref(py));
                self.transports.deferred.push(Deferred::Connect(backend, made));
            }
            // Without a connection the request ends by its time-out.
            Err(error) => error.write_unraisable(py, None),
        }
    }

    fn write_upstream(&mut self, connection: ConnectionId, pieces: &[&[u8]]) {
        if let Some(Some(half)) = self.with(connection, |one, _| one.write_half()) {
            self.write(&half, pieces);
        }
    }

    fn pause(&mut self, connection: ConnectionId) {
        let method = self.with(connection, |one, py| one.set_paused(py, true)).flatten();
        self.defer(method);
    }

    fn resume(&mut self, connection: ConnectionId) -> bool {
        let method = self.with(connection, |one, py| one.set_paused(py, false)).flatten();
        let is_read_now = method.is_none();
        self.defer(method);
        is_read_now
    }

    fn half_close(&mut self, connection: ConnectionId) {
        let half_close = |one: &UpstreamConnection, py: Python<'_>| {
            one.method(py, |transport| &transport.half_close)
        };
        let method = self.with(connection, half_close).flatten();
        self.defer(method);
    }

    fn close(&mut self, connection: ConnectionId) {
        if let Some(one) = self.transports.forget(connection) {
            let py = self.gateway.py();
            let method = one.borrow(py).drop_transport(py);
            self.defer(method);
        }
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.with(connection, UpstreamConnection::is_open).unwrap_or(false)
    }

    fn is_flushed(&self, connection: ConnectionId) -> bool {
        let is_clear = |one: &UpstreamConnection, py: Python<'_>| {
            one.write_half().is_some_and(|half| half.is_clear(py))
        };
        self.with(connection, is_clear).unwrap_or(false)
    }
}
