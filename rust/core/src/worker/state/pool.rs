//! Idle connections, by backend.

use super::ids::ConnectionId;
use crate::routing::{BackendIndex, Table};
use crate::time::Nanos;

#[derive(Debug)]
struct Idle {
    connection: ConnectionId,
    since: Nanos,
}

#[derive(Debug)]
pub(crate) struct Pool {
    idle: Vec<Vec<Idle>>,
}

impl Pool {
    pub(crate) fn new(backends: usize) -> Self {
        Pool { idle: (0..backends).map(|_| Vec::new()).collect() }
    }

    /// The connection that was used last, if it has not been idle for too long: the backend closes its side after
    /// a while, and a request written into that moment is lost.
    pub(crate) fn take(
        &mut self,
        backend: BackendIndex,
        keep_alive: Nanos,
        now: Nanos,
    ) -> Option<ConnectionId> {
        let idle = self.idle[usize::from(backend)].pop()?;
        if now.saturating_sub(idle.since) < keep_alive {
            return Some(idle.connection);
        }
        // Older ones are even staler; `expire` closes them all.
        self.idle[usize::from(backend)].push(idle);
        None
    }

    pub(crate) fn put(&mut self, backend: BackendIndex, connection: ConnectionId, now: Nanos) {
        self.idle[usize::from(backend)].push(Idle { connection, since: now });
    }

    /// A connection has closed or misbehaved while idle.
    pub(crate) fn remove(&mut self, backend: BackendIndex, connection: ConnectionId) {
        self.idle[usize::from(backend)].retain(|idle| idle.connection != connection);
    }

    /// Takes out every connection that has been idle for too long.
    pub(crate) fn expire(&mut self, table: &Table, now: Nanos) -> Vec<ConnectionId> {
        let mut expired = Vec::new();
        for (backend, idle) in table.backends.iter().zip(&mut self.idle) {
            let fresh = idle.partition_point(|i| now.saturating_sub(i.since) >= backend.keep_alive);
            expired.extend(idle.drain(..fresh).map(|i| i.connection));
        }
        expired
    }

    pub(crate) fn drain(&mut self) -> Vec<ConnectionId> {
        self.idle.iter_mut().flat_map(|idle| idle.drain(..)).map(|i| i.connection).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.iter().map(Vec::len).sum()
    }

    pub(crate) fn contains(&self, backend: BackendIndex, connection: ConnectionId) -> bool {
        self.idle[usize::from(backend)].iter().any(|idle| idle.connection == connection)
    }
}
