//! A connection between a worker and a backend: bytes in transit, and the backend's work on it.

use std::collections::VecDeque;

use penstock_core::time::Nanos;
use penstock_core::worker::ConnectionId;

use crate::backend::Piece;

/// What reaches a worker.
#[derive(Debug)]
pub enum Arrival {
    Bytes(Vec<u8>),
    /// The peer has closed its side.
    End,
    /// The connection was reset.
    Broken,
}

#[derive(Debug)]
pub struct Link {
    pub process: usize,
    /// The life of the process that opened it.
    pub life: u16,
    pub id: ConnectionId,
    pub backend: usize,
    /// Open: connected, and not fully closed by either side.
    pub is_open: bool,
    /// The worker has paused reading.
    pub is_paused: bool,
    /// What arrived while reading was paused.
    pub held: VecDeque<Arrival>,
    /// Arrival times of the last item in transit to the worker and to the backend; keeps the order.
    pub down_at: Nanos,
    pub up_at: Nanos,
    // The backend's side.
    pub received: Vec<u8>,
    pub script: VecDeque<Piece>,
    /// Sequences that the backend runs for it.
    pub running: u32,
    /// The backend has noticed that the worker closed, and is about to stop.
    pub is_stopping: bool,
}

impl Link {
    pub fn new(process: usize, life: u16, id: ConnectionId, backend: usize) -> Self {
        Link {
            process,
            life,
            id,
            backend,
            is_open: false,
            is_paused: false,
            held: VecDeque::new(),
            down_at: 0,
            up_at: 0,
            received: Vec::new(),
            script: VecDeque::new(),
            running: 0,
            is_stopping: false,
        }
    }
}
