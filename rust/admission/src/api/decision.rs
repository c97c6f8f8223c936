//! What admission answers: a permit, a place in the queue, or a refusal.

use super::ids::{BackendIndex, Ticket};
use crate::time::Nanos;

/// A permit: this request may run on this backend now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub ticket: Ticket,
    pub backend: BackendIndex,
    /// Output tokens that its KV reservation covers. Beyond these call [`Admission::grow`].
    ///
    /// [`Admission::grow`]: super::Admission::grow
    pub covered: u32,
    /// The backend has an outage, and this request tries whether it is over.
    pub is_trial: bool,
}

/// Why a request is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The queue of its tier is full, or its tenant's part of it.
    QueueFull,
    /// It would not be dispatched before its deadline, as far as can be predicted.
    Unmeetable,
    /// Its deadline passed while it waited.
    Expired,
    /// Every backend that it may use is down or drained.
    NoBackend,
    /// It asks for more slots than any backend can give, `most`.
    TooWide { most: u32 },
    /// Its prompt is larger than the KV cache of any backend, `most` tokens.
    TooLong { most: u32 },
    /// Backends pushed it back too often.
    Overloaded,
}

/// A refusal, and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub why: Refusal,
    pub retry_after: Nanos,
    /// For how long the tier has been refusing requests because of load.
    pub saturated_for: Nanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Granted(Grant),
    Queued(Ticket),
    Refused(Refused),
}

/// What a worker is told about a request that it has queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    Granted(Grant),
    Refused(Ticket, Refused),
}
