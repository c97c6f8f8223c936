//! What identifies a tier, a backend, a worker and a request.

pub type TierIndex = u16;

pub type BackendIndex = u16;

/// Who holds a row: a worker, and the generation of it. A restarted worker has a new generation.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub worker: u16,
    pub generation: u16,
}

impl Owner {
    /// Owns the rows of dead workers: they end by time alone.
    pub(crate) const NOBODY: Owner = Owner { worker: u16::MAX, generation: 0 };
}

/// Identifies one request from offer to release. A ticket that was released matches nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub row: u32,
    pub generation: u32,
}
