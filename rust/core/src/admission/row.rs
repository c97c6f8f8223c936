//! One request as admission sees it.

use crate::routing::{BackendIndex, TierIndex};
use crate::time::Nanos;

/// Most backends that one request is scored for (contract §3).
pub(super) const MAX_CANDIDATES: usize = 8;
/// The end of an intrusive list.
pub(super) const NONE: u32 = u32::MAX;

/// Who holds a row: a worker process, and which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub worker: u16,
    pub generation: u16,
}

/// Names one request from offer to release. A stale one names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub row: u32,
    pub generation: u32,
}

/// What a request takes of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Running sequences: `n` of a chat request.
    pub slots: u32,
    /// Uncached prompt tokens, until the first token.
    pub prefill: u64,
    /// Prompt and expected output tokens, until the end.
    pub kv: u64,
}

/// The backends that may serve a request, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidates {
    list: [BackendIndex; MAX_CANDIDATES],
    count: u8,
}

impl Candidates {
    /// Takes the first [`MAX_CANDIDATES`].
    pub fn of(backends: impl IntoIterator<Item = BackendIndex>) -> Self {
        let mut candidates = Candidates::default();
        for backend in backends.into_iter().take(MAX_CANDIDATES) {
            candidates.list[usize::from(candidates.count)] = backend;
            candidates.count += 1;
        }
        candidates
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.list[..usize::from(self.count)].iter().map(|&backend| usize::from(backend))
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A request that asks to be let in.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    pub owner: Owner,
    pub tier: TierIndex,
    pub resources: Resources,
    /// Estimated prompt tokens, and bytes held while it waits: for the queue's bounds.
    pub tokens: u64,
    pub bytes: u64,
    pub candidates: Candidates,
    /// To be dispatched by then, or not at all.
    pub deadline: Nanos,
}

/// A permit: this request may run on this backend now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub ticket: Ticket,
    pub backend: BackendIndex,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Queued,
    /// Has its permit, but its owner has not taken it yet.
    Granted,
    Running,
    /// The request is over for the client, but the backend may still work on it: it counts.
    Closing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) state: State,
    pub(super) generation: u32,
    pub(super) owner: Owner,
    pub(super) tier: TierIndex,
    pub(super) backend: BackendIndex,
    pub(super) resources: Resources,
    pub(super) tokens: u64,
    pub(super) bytes: u64,
    pub(super) candidates: Candidates,
    pub(super) deadline: Nanos,
    /// Order of arrival over all tiers.
    pub(super) sequence: u64,
    pub(super) bounces: u8,
    /// Next row of the tier's queue, or of the free list.
    pub(super) next: u32,
    pub(super) previous: u32,
}

impl Row {
    pub(super) const EMPTY: Row = Row {
        state: State::Free,
        generation: 0,
        owner: Owner { worker: 0, generation: 0 },
        tier: 0,
        backend: 0,
        resources: Resources { slots: 0, prefill: 0, kv: 0 },
        tokens: 0,
        bytes: 0,
        candidates: Candidates { list: [0; MAX_CANDIDATES], count: 0 },
        deadline: 0,
        sequence: 0,
        bounces: 0,
        next: NONE,
        previous: NONE,
    };

    pub(super) fn holds_permit(&self) -> bool {
        matches!(self.state, State::Granted | State::Running | State::Closing)
    }
}
