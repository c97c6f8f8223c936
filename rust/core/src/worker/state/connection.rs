//! A connection to a backend, as far as the worker decides about it.

use penstock_admission::Ticket;

use super::ids::{ConnectionId, RequestId};
use super::slab::Slab;
use crate::routing::BackendIndex;
use crate::time::Nanos;
use crate::trace::transition;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    /// Is being opened for a request.
    Connecting(RequestId),
    /// Carries a request.
    Serving(RequestId),
    /// In the pool.
    Idle,
    /// Half-closed: what comes is discarded, and the permit waits for the backend's end.
    Aborting(Ticket),
}

impl ConnectionState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ConnectionState::Connecting(_) => "connecting",
            ConnectionState::Serving(_) => "serving",
            ConnectionState::Idle => "idle",
            ConnectionState::Aborting(_) => "aborting",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) backend: BackendIndex,
    pub(crate) state: ConnectionState,
    /// When it was last put into the pool; `None`: never, it is new.
    pub(crate) last_use: Option<Nanos>,
    /// The backend is not read, because the client does not read.
    pub(crate) paused: bool,
}

/// The open connections, and those that are being opened.
#[derive(Debug, Default)]
pub(crate) struct Connections(Slab<Connection>);

impl Connections {
    pub(crate) fn open(&mut self, backend: BackendIndex, request: RequestId) -> ConnectionId {
        let state = ConnectionState::Connecting(request);
        let connection = Connection { backend, state, last_use: None, paused: false };
        let id = ConnectionId(self.0.insert(|_| connection));
        transition!("new" => state.name(), connection = id, request = request);
        id
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.0.get(id.0)
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.0.get_mut(id.0)
    }

    pub(crate) fn state(&self, id: ConnectionId) -> Option<ConnectionState> {
        self.get(id).map(|connection| connection.state)
    }

    pub(crate) fn set_state(&mut self, id: ConnectionId, state: ConnectionState) {
        if let Some(connection) = self.get_mut(id) {
            transition!(connection.state.name() => state.name(), connection = id);
            connection.state = state;
        }
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let removed = self.0.remove(id.0)?;
        transition!(removed.state.name() => "closed", connection = id);
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.0.iter().map(|(key, connection)| (ConnectionId(key), connection))
    }
}
