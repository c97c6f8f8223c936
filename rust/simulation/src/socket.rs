//! A connection between a client and a worker.

use std::collections::VecDeque;

use penstock_core::client::ClientConnection;
use penstock_core::time::Nanos;
use penstock_core::worker::ClientId;

/// What a client sends.
#[derive(Debug)]
pub enum Sent {
    Bytes(Vec<u8>),
    /// It closes its side, or all of it: a client that does has left.
    Left,
}

#[derive(Debug)]
pub struct Socket {
    pub client: usize,
    pub process: usize,
    pub life: u16,
    pub connection: ClientConnection,
    /// The id under which the worker answers.
    pub client_id: Option<ClientId>,
    /// What the worker has written and the client has not read.
    pub unread: Vec<u8>,
    /// More is unread than the worker's transport takes.
    pub is_full: bool,
    /// The worker does not read it.
    pub is_paused: bool,
    /// What has come while it was not read.
    pub held: VecDeque<Vec<u8>>,
    pub up_at: Nanos,
    /// The worker has closed it; the client still reads what is there.
    pub is_closed: bool,
    /// Nobody uses it any more.
    pub is_gone: bool,
}
