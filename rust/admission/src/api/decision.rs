//! What admission answers: a permit, a place in the queue, or a refusal.

use super::ids::{BackendIndex, Ticket};
use crate::time::Nanos;

/// A permit: this request may run on this backend now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub ticket: Ticket,
    pub backend: BackendIndex,
    /// Output tokens that its KV reservation covers; beyond, [`Admission::grow`] it.
    ///
    /// [`Admission::grow`]: super::Admission::grow
    pub covered: u32,
    /// Requests did not get through to the backend of late, and this one tries.
    pub is_trial: bool,
}

/// Why a request does not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The queue of its tier, or its tenant's part of it, is full.
    QueueFull,
    /// By all that is known it would not be dispatched in time.
    Unmeetable,
    /// Its deadline came while it waited.
    Expired,
    /// Every backend that it may use is down or drained.
    NoBackend,
    /// It asks for more slots than there will ever be.
    TooWide { most: u32 },
    /// Its prompt is larger than the KV memory of any backend.
    TooLong { most: u32 },
    /// Bounced too often.
    Overloaded,
}

/// A refusal, and when it is worth to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub why: Refusal,
    pub retry_after: Nanos,
    /// How long the tier has been turning requests away, its queue never empty.
    pub saturated_for: Nanos,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Granted(Grant),
    Queued(Ticket),
    Refused(Refused),
}

/// What a worker finds in its mailbox about a request that it has queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    Granted(Grant),
    Refused(Ticket, Refused),
}
