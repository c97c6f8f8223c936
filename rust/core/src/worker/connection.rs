//! A connection to a backend, as far as the worker decides about it.

use penstock_admission::Ticket;

use super::request::RequestId;
use super::slab::{Key, Slab};
use crate::routing::BackendIndex;
use crate::time::Nanos;

/// Names a connection to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(pub(super) Key);

impl ConnectionId {
    /// The place, which is used again when the connection is gone.
    pub fn place(self) -> usize {
        self.0.place() as usize
    }
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
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
    pub(super) fn name(self) -> &'static str {
        match self {
            ConnectionState::Connecting(_) => "connecting",
            ConnectionState::Serving(_) => "serving",
            ConnectionState::Idle => "idle",
            ConnectionState::Aborting(_) => "aborting",
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) backend: BackendIndex,
    pub(super) state: ConnectionState,
    /// When it was last put into the pool; `None`: never, it is new.
    pub(super) last_use: Option<Nanos>,
    /// The backend is not read, because the client does not read.
    pub(super) paused: bool,
}

/// The open connections, and those that are being opened.
#[derive(Debug, Default)]
pub(super) struct Connections(Slab<Connection>);

impl Connections {
    pub(super) fn open(&mut self, backend: BackendIndex, request: RequestId) -> ConnectionId {
        let state = ConnectionState::Connecting(request);
        let connection = Connection { backend, state, last_use: None, paused: false };
        ConnectionId(self.0.insert(|_| connection))
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.0.get(id.0)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.0.get_mut(id.0)
    }

    pub(super) fn state(&self, id: ConnectionId) -> Option<ConnectionState> {
        self.get(id).map(|connection| connection.state)
    }

    pub(super) fn set_state(&mut self, id: ConnectionId, state: ConnectionState) {
        if let Some(connection) = self.get_mut(id) {
            connection.state = state;
        }
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.0.remove(id.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.0.iter().map(|(key, connection)| (ConnectionId(key), connection))
    }
}
