//! A connection between a worker and a backend: bytes on their way, and what the backend does for it.

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
    /// The connection is broken.
    Broken,
}

#[derive(Debug)]
pub struct Link {
    pub process: usize,
    /// The life of the process that has opened it.
    pub life: u16,
    pub id: ConnectionId,
    pub backend: usize,
    /// It was opened, and neither side has closed it for good.
    pub is_open: bool,
    /// The worker does not read it.
    pub is_paused: bool,
    /// What has come while it was not read.
    pub held: VecDeque<Arrival>,
    /// When the last thing on its way to the worker, and to the backend, arrives: order is kept.
    pub down_at: Nanos,
    pub up_at: Nanos,
    // The backend's side.
    pub received: Vec<u8>,
    pub script: VecDeque<Piece>,
    /// Sequences that run for it.
    pub running: u32,
    /// The backend has heard of our end, and is about to stop.
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
