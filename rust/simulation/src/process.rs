//! A simulated worker process: the core's worker, and the connections behind its ids.

use penstock_core::routing::BackendIndex;
use penstock_core::time::Nanos;
use penstock_core::worker::{ClientId, ConnectionId, Effects, Slab, Worker};

use crate::link::Link;

/// An effect of a worker.
#[derive(Debug)]
pub enum Effect {
    WriteClient(ClientId, Vec<u8>),
    AnswerDone(ClientId, bool),
    DropClient(ClientId),
    Connect(ConnectionId, BackendIndex),
    WriteUpstream(ConnectionId, Vec<u8>),
    Pause(ConnectionId),
    Resume(ConnectionId),
    HalfClose(ConnectionId),
    Close(ConnectionId),
}

#[derive(Debug)]
pub struct Process {
    pub index: u16,
    /// Counts restarts, like admission's row of the worker.
    pub life: u16,
    /// `None` while it is dead.
    pub worker: Option<Worker>,
    /// It is stopped (SIGSTOP) until then.
    pub stopped_until: Nanos,
    pub is_draining: bool,
    /// Countdown of kill points inside the lock until it is killed (`penstock_admission::kill_points`).
    pub dies_after: Option<u64>,
    /// The socket behind each client id.
    pub clients: Slab<usize>,
    /// The link behind each connection id, by the id's slab index.
    pub links: Vec<Option<usize>>,
}

impl Process {
    pub fn link(&self, id: ConnectionId) -> Option<usize> {
        self.links.get(id.place()).copied().flatten()
    }
}

/// Collects effects; queries are answered from the current state of the links.
pub struct Collector<'a> {
    pub effects: Vec<Effect>,
    pub of_process: &'a [Option<usize>],
    pub links: &'a [Link],
}

impl Collector<'_> {
    fn link(&self, id: ConnectionId) -> Option<&Link> {
        let at = self.of_process.get(id.place()).copied().flatten()?;
        Some(&self.links[at]).filter(|link| link.id == id)
    }
}

impl Effects for Collector<'_> {
    fn write_client(&mut self, client: ClientId, pieces: &[&[u8]]) {
        self.effects.push(Effect::WriteClient(client, pieces.concat()));
    }

    fn answer_done(&mut self, client: ClientId, keep_alive: bool) {
        self.effects.push(Effect::AnswerDone(client, keep_alive));
    }

    fn drop_client(&mut self, client: ClientId) {
        self.effects.push(Effect::DropClient(client));
    }

    fn connect(&mut self, connection: ConnectionId, backend: BackendIndex) {
        self.effects.push(Effect::Connect(connection, backend));
    }

    fn write_upstream(&mut self, connection: ConnectionId, pieces: &[&[u8]]) {
        self.effects.push(Effect::WriteUpstream(connection, pieces.concat()));
    }

    fn pause(&mut self, connection: ConnectionId) {
        self.effects.push(Effect::Pause(connection));
    }

    fn resume(&mut self, connection: ConnectionId) -> bool {
        self.effects.push(Effect::Resume(connection));
        true
    }

    fn half_close(&mut self, connection: ConnectionId) {
        self.effects.push(Effect::HalfClose(connection));
    }

    fn close(&mut self, connection: ConnectionId) {
        self.effects.push(Effect::Close(connection));
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.link(connection).is_some_and(|link| link.is_open)
    }

    fn is_flushed(&self, connection: ConnectionId) -> bool {
        self.link(connection).is_some()
    }
}
