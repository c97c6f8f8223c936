//! A connection between a client and a worker.

use std::collections::VecDeque;

use penstock_core::client::ClientConnection;
use penstock_core::time::Nanos;
use penstock_core::worker::ClientId;

/// What a client sends.
#[derive(Debug)]
pub enum Sent {
    Bytes(Vec<u8>),
    /// End of file. The worker treats a client that half-closes as gone.
    Left,
}

#[derive(Debug)]
pub struct Socket {
    pub client: usize,
    pub process: usize,
    pub life: u16,
    pub connection: ClientConnection,
    /// The id that the worker knows it by.
    pub client_id: Option<ClientId>,
    /// What the worker has written and the client has not read.
    pub unread: Vec<u8>,
    /// The worker's transport is full: the client has too much unread.
    pub is_full: bool,
    /// The worker has paused reading.
    pub is_paused: bool,
    /// What arrived while reading was paused.
    pub held: VecDeque<Vec<u8>>,
    pub up_at: Nanos,
    /// The worker has closed it; the client can still read the remaining bytes.
    pub is_closed: bool,
    /// Both sides are finished with it.
    pub is_gone: bool,
}
