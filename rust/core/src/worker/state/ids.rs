//! The ids of clients, requests and connections. A stale one finds nothing.

use std::fmt;

use super::slab::Key;

/// Names a client's side while it waits for an answer; whoever owns the sockets chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientId(pub Key);

/// Names a request in hand; the worker chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(pub Key);

impl RequestId {
    /// The place, which is used again when the request has ended.
    pub(crate) fn place(self) -> u32 {
        self.0.place()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a connection to a backend; the worker chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(pub Key);

impl ConnectionId {
    /// The place, which is used again when the connection is gone.
    pub fn place(self) -> usize {
        self.0.place() as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
