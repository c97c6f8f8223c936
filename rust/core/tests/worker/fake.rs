//! Effects that are recorded instead of done. What breaks the rules of [`Effects`] panics.

use std::collections::HashMap;

use penstock_core::routing::BackendIndex;
use penstock_core::worker::{ClientId, ConnectionId, Effects};

/// What a worker has had done. Clients have the numbers that their test gives them; connections are numbered in the
/// order in which they were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Bytes to a client.
    Write(u64),
    /// The answer of a client is complete; whether its connection stays open.
    Done(u64, bool),
    /// A client that has left is forgotten.
    Drop(u64),
    /// A connection is opened to a backend.
    Connect(usize, BackendIndex),
    /// Bytes to a backend.
    Send(usize),
    Pause(usize),
    Resume(usize),
    HalfClose(usize),
    Close(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Open,
    HalfClosed,
    Closed,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    phase: Phase,
    is_paused: bool,
    sent: Vec<u8>,
}

#[derive(Debug, Default)]
struct ClientSide {
    wire: Vec<u8>,
    is_over: bool,
}

/// Connections and clients without sockets. The public fields are what a test decides.
#[derive(Debug, Default)]
pub struct FakeSockets {
    effects: Vec<Effect>,
    connections: Vec<Connection>,
    clients: HashMap<u64, ClientSide>,
    /// Connections that have begun to close.
    pub ending: Vec<usize>,
    /// Connections to which something is still to be written.
    pub unflushed: Vec<usize>,
    /// Connections are read again only after the event in which that was asked for.
    pub resumes_late: bool,
}

impl FakeSockets {
    /// What was done since the last call.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    pub fn id(&self, connection: usize) -> ConnectionId {
        self.connections[connection].id
    }

    /// Every byte that a client has got.
    pub fn wire(&self, client: u64) -> &[u8] {
        &self.clients[&client].wire
    }

    /// Every byte that a backend has got on a connection.
    pub fn sent(&self, connection: usize) -> &[u8] {
        &self.connections[connection].sent
    }

    /// A connection has come up, perhaps too late.
    pub fn open(&mut self, connection: usize) {
        let one = &mut self.connections[connection];
        if one.phase != Phase::Closed {
            assert_eq!(one.phase, Phase::Connecting, "connection {connection}");
            one.phase = Phase::Open;
        }
    }

    pub fn expect_client(&mut self, client: u64) {
        let known = self.clients.insert(client, ClientSide::default());
        assert!(known.is_none_or(|side| side.is_over), "client {client} still waits");
    }

    fn client(&mut self, id: ClientId) -> (u64, &mut ClientSide) {
        let number = u64::from(id.0);
        let side = self.clients.get_mut(&number).expect("a client");
        assert!(!side.is_over, "client {number} has its answer, or has left");
        (number, side)
    }

    /// The connection that has an id now.
    fn at(&self, id: ConnectionId) -> usize {
        let is_it = |one: &Connection| one.id == id && one.phase != Phase::Closed;
        self.connections.iter().position(is_it).expect("a connection that was not closed")
    }

    fn connection(&mut self, id: ConnectionId, phases: &[Phase]) -> (usize, &mut Connection) {
        let at = self.at(id);
        let one = &mut self.connections[at];
        assert!(phases.contains(&one.phase), "connection {at} is {:?}", one.phase);
        (at, one)
    }
}

impl Effects for FakeSockets {
    fn write_client(&mut self, client: ClientId, pieces: &[&[u8]]) {
        let (number, side) = self.client(client);
        side.wire.extend(pieces.concat());
        self.effects.push(Effect::Write(number));
    }

    fn answer_done(&mut self, client: ClientId, keep_alive: bool) {
        let (number, side) = self.client(client);
        side.is_over = true;
        self.effects.push(Effect::Done(number, keep_alive));
    }

    fn drop_client(&mut self, client: ClientId) {
        let (number, side) = self.client(client);
        side.is_over = true;
        self.effects.push(Effect::Drop(number));
    }

    fn connect(&mut self, id: ConnectionId, backend: BackendIndex) {
        assert!(self.connections.iter().all(|one| one.id != id), "{id:?} is used again");
        let one = Connection { id, phase: Phase::Connecting, is_paused: false, sent: Vec::new() };
        self.connections.push(one);
        self.effects.push(Effect::Connect(self.connections.len() - 1, backend));
    }

    fn write_upstream(&mut self, id: ConnectionId, pieces: &[&[u8]]) {
        let (at, one) = self.connection(id, &[Phase::Open]);
        one.sent.extend(pieces.concat());
        self.effects.push(Effect::Send(at));
    }

    fn pause(&mut self, id: ConnectionId) {
        let (at, one) = self.connection(id, &[Phase::Open]);
        assert!(!std::mem::replace(&mut one.is_paused, true), "connection {at} is paused");
        self.effects.push(Effect::Pause(at));
    }

    fn resume(&mut self, id: ConnectionId) -> bool {
        let (at, one) = self.connection(id, &[Phase::Open]);
        assert!(std::mem::replace(&mut one.is_paused, false), "connection {at} is not paused");
        self.effects.push(Effect::Resume(at));
        !self.resumes_late
    }

    fn half_close(&mut self, id: ConnectionId) {
        let (at, one) = self.connection(id, &[Phase::Open]);
        assert!(!one.is_paused, "the end of connection {at} would not be noticed");
        one.phase = Phase::HalfClosed;
        self.effects.push(Effect::HalfClose(at));
    }

    fn close(&mut self, id: ConnectionId) {
        let phases = [Phase::Connecting, Phase::Open, Phase::HalfClosed];
        let (at, one) = self.connection(id, &phases);
        one.phase = Phase::Closed;
        self.effects.push(Effect::Close(at));
    }

    fn is_open(&self, id: ConnectionId) -> bool {
        let at = self.at(id);
        self.connections[at].phase == Phase::Open && !self.ending.contains(&at)
    }

    fn is_flushed(&self, id: ConnectionId) -> bool {
        !self.unflushed.contains(&self.at(id))
    }
}
