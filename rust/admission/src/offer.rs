//! The words of the interface: what is asked of admission, and what it answers.

use crate::index::{BackendIndex, TierIndex};
use crate::time::Nanos;

/// Most backends that one request is scored for.
pub const MAX_CANDIDATES: usize = 8;

/// Who holds a row: a worker process, and which life of it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub worker: u16,
    pub generation: u16,
}

impl Owner {
    /// Of rows whose worker has died: nobody but time can end them.
    pub(super) const NOBODY: Owner = Owner { worker: u16::MAX, generation: 0 };
}

/// Names one request from offer to release. A stale one names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub row: u32,
    pub generation: u32,
}

/// A backend that may serve a request, and how many of its prompt tokens it probably has cached.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidate {
    pub backend: BackendIndex,
    pub hit: u32,
}

/// The backends that may serve a request.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidates {
    list: [Candidate; MAX_CANDIDATES],
    count: u32,
}

impl Candidates {
    /// Takes the first [`MAX_CANDIDATES`].
    pub fn of(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let mut all = Candidates::default();
        for candidate in candidates.into_iter().take(MAX_CANDIDATES) {
            all.list[all.count as usize] = candidate;
            all.count += 1;
        }
        all
    }

    /// Backends without a word on what they have cached.
    pub fn cold(backends: impl IntoIterator<Item = BackendIndex>) -> Self {
        Self::of(backends.into_iter().map(|backend| Candidate { backend, hit: 0 }))
    }

    pub fn iter(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.list[..self.count as usize].iter().copied()
    }
}

/// How urgent a request is among those of its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Band {
    High,
    #[default]
    Normal,
    Low,
}

/// On whose account a request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// A hash of its name; 0: not known, and then nothing of its own is limited.
    pub key: u64,
    /// Its part beside other tenants.
    pub weight: u32,
    /// Most slots at once, over all tiers.
    pub slots: Option<u32>,
}

impl Tenant {
    pub const UNKNOWN: Tenant = Tenant { key: 0, weight: 1, slots: None };

    /// A tenant without limits of its own. `key`: any number but 0 and 1 tells it from others.
    pub fn named(key: u64) -> Self {
        Tenant { key: key.max(2), ..Self::UNKNOWN }
    }
}

/// A request that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    pub owner: Owner,
    pub tier: TierIndex,
    pub tenant: Tenant,
    pub band: Band,
    /// Running sequences: `n` of a chat request.
    pub slots: u32,
    /// Estimated prompt tokens.
    pub prompt: u32,
    /// The cap on its output, if it has one.
    pub max_tokens: Option<u32>,
    /// Whether it offers tools: their answers have another length.
    pub tools: bool,
    /// Whether its answer comes as a stream, so that its first token shows.
    pub streams: bool,
    /// Bytes held while it waits.
    pub bytes: u64,
    pub candidates: Candidates,
}

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
pub enum Notice {
    Granted(Grant),
    Refused(Ticket, Refused),
}

/// How a permit ended; exactly one of these, once
/// (the vocabulary of Netflix's concurrency-limits: success, dropped, ignore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// The backend failed.
    Dropped,
    /// Nothing can be learned from it: the client left, or it never ran.
    Ignored,
}

/// What a finished request really used, in tokens, as its backend says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u32,
    /// Of the prompt, how many came from the backend's prefix cache.
    pub cached: u32,
    pub output: u32,
}

/// Why a request did not get through to its backend.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens there: the request has not begun.
    Refused = 0,
    /// No connection was made, for whatever else: nor has it.
    Unreachable,
    /// The connection was broken off without a byte of an answer.
    Died,
    /// Somebody in front of the server has answered that it cannot be used (RFC 9110 §15.6.3, §15.6.4).
    Unavailable,
}

impl Fault {
    /// Whether no connection was made.
    pub fn is_before_connected(self) -> bool {
        matches!(self, Fault::Refused | Fault::Unreachable)
    }
}

/// That a request got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A connection was made: there is somebody who does not refuse any more.
    Connected,
    /// Something of an answer has come, to a request that was sent before.
    Answered,
    /// A request that was sent since is not broken off after some time.
    Survived,
    /// Something of an answer has come to a request that was sent since, or the server has been away as a
    /// whole and is back.
    Served,
}

/// Whether a backend may get requests.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not known yet; it may be tried.
    Unknown = 0,
    Healthy,
    Down,
}
