//! What names a tier, a backend, a worker and a request.

pub type TierIndex = u16;

pub type BackendIndex = u16;

/// Who holds a row: a worker process, and which life of it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub worker: u16,
    pub generation: u16,
}

impl Owner {
    /// Of rows whose worker has died: nobody but time can end them.
    pub(crate) const NOBODY: Owner = Owner { worker: u16::MAX, generation: 0 };
}

/// Names one request from offer to release. A stale one names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub row: u32,
    pub generation: u32,
}
