//! The worker's effects on real connections.
//!
//! What a socket takes is written at once; every call into Python is deferred.

use std::rc::Rc;

use penstock_core::routing::BackendIndex;
use penstock_core::worker::{ClientId, ConnectionId, Effects, Slab};
use pyo3::prelude::*;

use super::client_side::ClientSide;
use super::deferred::Deferred;
use super::upstream_transport::UpstreamTransport;
use crate::io::WriteHalf;

/// The connections that the worker's ids stand for, and the calls that its effects have led to.
#[derive(Debug, Default)]
pub(super) struct ConnectionTable {
    clients: Slab<ClientSide>,
    /// By the place of their id.
    upstreams: Vec<Option<Rc<UpstreamTransport>>>,
    pub(super) deferred: Vec<Deferred>,
}

impl ConnectionTable {
    pub(super) fn add_client(&mut self, side: ClientSide) -> ClientId {
        ClientId(self.clients.insert(|_| side))
    }

    /// Whether a client's answer is not complete.
    pub(super) fn is_waiting(&self, client: ClientId) -> bool {
        self.clients.get(client.0).is_some()
    }

    fn upstream(&self, id: ConnectionId) -> Option<&Rc<UpstreamTransport>> {
        self.upstreams.get(id.place())?.as_ref()
    }
}

/// Carries out the [`Effects`] of one event.
pub(super) struct Driver<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) connections: &'a mut ConnectionTable,
}

impl Driver<'_, '_> {
    fn defer(&mut self, method: Option<Py<PyAny>>) {
        self.connections.deferred.extend(method.map(Deferred::Call));
    }
}

impl Effects for Driver<'_, '_> {
    fn write_client(&mut self, client: ClientId, pieces: &[&[u8]]) {
        let ConnectionTable { clients, deferred, .. } = &mut *self.connections;
        if let Some(side) = clients.get(client.0) {
            deferred.extend(send(self.py, &side.write_half, pieces));
        }
    }

    fn answer_done(&mut self, client: ClientId, keep_alive: bool) {
        if let Some(ClientSide { listener, .. }) = self.connections.clients.remove(client.0) {
            self.connections.deferred.push(Deferred::AnswerDone { listener, keep_alive });
        }
    }

    fn drop_client(&mut self, client: ClientId) {
        self.connections.clients.remove(client.0);
    }

    fn connect(&mut self, id: ConnectionId, backend: BackendIndex) {
        let (transport, place) = (Rc::<UpstreamTransport>::default(), id.place());
        if self.connections.upstreams.len() <= place {
            self.connections.upstreams.resize_with(place + 1, || None);
        }
        self.connections.upstreams[place] = Some(transport.clone());
        self.connections.deferred.push(Deferred::Connect { id, backend, transport });
    }

    fn write_upstream(&mut self, connection: ConnectionId, pieces: &[&[u8]]) {
        let transport = self.connections.upstream(connection);
        if let Some(write_half) = transport.and_then(|transport| transport.write_half()) {
            self.connections.deferred.extend(send(self.py, &write_half, pieces));
        }
    }

    fn pause(&mut self, connection: ConnectionId) {
        let transport = self.connections.upstream(connection);
        let method = transport.and_then(|transport| transport.set_paused(self.py, true));
        self.defer(method);
    }

    fn resume(&mut self, connection: ConnectionId) -> bool {
        let transport = self.connections.upstream(connection);
        let method = transport.and_then(|transport| transport.set_paused(self.py, false));
        let is_read_now = method.is_none();
        self.defer(method);
        is_read_now
    }

    fn half_close(&mut self, connection: ConnectionId) {
        let transport = self.connections.upstream(connection);
        let method = transport.and_then(|transport| transport.half_close(self.py));
        self.defer(method);
    }

    fn close(&mut self, connection: ConnectionId) {
        let place = self.connections.upstreams.get_mut(connection.place());
        if let Some(transport) = place.and_then(Option::take) {
            let method = transport.close(self.py);
            self.defer(method);
        }
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        let transport = self.connections.upstream(connection);
        transport.is_some_and(|transport| transport.is_open(self.py))
    }

    fn is_flushed(&self, connection: ConnectionId) -> bool {
        let transport = self.connections.upstream(connection);
        let write_half = transport.and_then(|transport| transport.write_half());
        write_half.is_some_and(|write_half| write_half.is_flushed(self.py))
    }
}

/// Sends what the socket takes, and defers the rest.
fn send(py: Python<'_>, write_half: &Rc<WriteHalf>, pieces: &[&[u8]]) -> Option<Deferred> {
    let rest = write_half.send(py, pieces)?;
    Some(Deferred::Write(write_half.clone(), rest))
}
