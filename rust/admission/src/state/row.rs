//! One request. Rows are the truth; everything else is an index over them.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use super::heap::Node;
use crate::api::decision::{Grant, Refusal};
use crate::api::ids::{BackendIndex, Owner, Ticket, TierIndex};
use crate::api::offer::Candidates;
use crate::kill_points;
use crate::limits::caps::Resources;
use crate::shm::plain;
use crate::time::Nanos;

/// The state of a request. Zeroed memory is `Free`.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free = 0,
    Queued,
    /// It has its permit, but its owner has not read that yet.
    Granted,
    Running,
    /// The client is served or gone, but the backend may still work on it: it counts.
    Closing,
    /// Refused while it waited; its owner has not read that yet.
    Refused,
}

impl State {
    pub(crate) const COUNT: usize = 6;
    const ALL: [State; Self::COUNT] = [
        State::Free,
        State::Queued,
        State::Granted,
        State::Running,
        State::Closing,
        State::Refused,
    ];
}

/// The generation and the state of a row in one word. It is stored last, so that a death between two stores
/// leaves the row as before or as after.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Stamp(AtomicU64);

impl Stamp {
    fn load(&self) -> (u32, State) {
        let word = self.0.load(Ordering::Relaxed);
        ((word >> 8) as u32, State::ALL[usize::from(word as u8)])
    }

    fn store(&self, generation: u32, state: State) {
        // These fences stop the compiler alone: for a reader that has the lock, the lock has made every
        // store visible.
        kill_points::point();
        compiler_fence(Ordering::SeqCst);
        self.0.store(u64::from(generation) << 8 | state as u64, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
}

#[repr(C)]
#[derive(Debug)]
pub(crate) struct Row {
    stamp: Stamp,
    pub(crate) owner: Owner,
    pub(crate) tier: TierIndex,
    /// Where it runs; unused while it waits.
    pub(crate) backend: BackendIndex,
    /// Its present priority: ageing raises it.
    pub(crate) priority: u8,
    pub(crate) pushbacks: u8,
    /// How often a later request was granted before it because it did not fit.
    pub(crate) bypassed: u8,
    why: u8,
    /// 1: its answer is streamed, so that its first token is seen.
    pub(crate) streams: u8,
    /// 1: its cost is what it has used.
    pub(crate) settled: u8,
    /// Index of its length class.
    pub(crate) class: u16,
    /// The backend that is reserved for it, or [`NO_BACKEND`].
    pub(crate) reserved_backend: BackendIndex,
    pub(crate) tenant: u32,
    pub(crate) flow: u32,
    most: u32,
    pub(crate) prompt: u32,
    /// Output tokens expected of it.
    pub(crate) expected: u32,
    pub(crate) resources: Resources,
    pub(crate) bytes: u64,
    /// Cost units added for it so far.
    pub(crate) cost: u64,
    pub(crate) candidates: Candidates,
    pub(crate) arrived: Nanos,
    /// To be dispatched before this, or refused.
    pub(crate) deadline: Nanos,
    /// When its priority rises next.
    pub(crate) ages: Nanos,
    /// Since when it does not fit although slots are free; 0: it was not tried.
    pub(crate) blocked: Nanos,
    /// A refused row: when to try again. An orphan: when it ends.
    pub(crate) until: Nanos,
    pub(crate) granted: Nanos,
    /// Expected prefill time at its grant; 0: nothing was known.
    pub(crate) predicted: Nanos,
    /// Prompt tokens that its backend had processed in all at its grant.
    pub(crate) prefilled_before: u64,
    /// Without a stream: when its prefill is assumed to end.
    pub(crate) prefill_end: Nanos,
    /// Order of arrival over all tiers.
    pub(crate) sequence: u64,
    pub(crate) node: Node,
    /// Next row of a notification list or of the free list.
    pub(crate) next: u32,
    /// 1: it is the trial of its backend.
    pub(crate) trial: u32,
}

plain!(Row);

pub(crate) const NO_BACKEND: BackendIndex = BackendIndex::MAX;

impl Row {
    pub(crate) fn state(&self) -> State {
        self.stamp.load().1
    }

    pub(crate) fn set_state(&self, state: State) {
        self.stamp.store(self.generation(), state);
    }

    /// Begins the next generation of the row. Everything else in it has been written.
    pub(crate) fn begin(&self, state: State) {
        self.stamp.store(self.generation().wrapping_add(1), state);
    }

    pub(crate) fn generation(&self) -> u32 {
        self.stamp.load().0
    }

    pub(crate) fn ticket(&self, at: u32) -> Ticket {
        Ticket { row: at, generation: self.generation() }
    }

    pub(crate) fn grant(&self, at: u32) -> Grant {
        Grant {
            ticket: self.ticket(at),
            backend: self.backend,
            covered: self.expected,
            is_trial: self.trial != 0,
        }
    }

    pub(crate) fn holds_permit(&self) -> bool {
        matches!(self.state(), State::Granted | State::Running | State::Closing)
    }

    /// Whether a row with a permit is in prefill, and its answer will not show the end of that.
    pub(crate) fn has_estimated_prefill(&self) -> bool {
        self.streams == 0 && self.resources.prefill != 0
    }

    pub(crate) fn set_refusal(&mut self, why: Refusal) {
        (self.why, self.most) = match why {
            Refusal::QueueFull => (0, 0),
            Refusal::Unmeetable => (1, 0),
            Refusal::Expired => (2, 0),
            Refusal::NoBackend => (3, 0),
            Refusal::TooWide { most } => (4, most),
            Refusal::TooLong { most } => (5, most),
            Refusal::Overloaded => (6, 0),
        };
    }

    pub(crate) fn refusal(&self) -> Refusal {
        match self.why {
            0 => Refusal::QueueFull,
            1 => Refusal::Unmeetable,
            2 => Refusal::Expired,
            3 => Refusal::NoBackend,
            4 => Refusal::TooWide { most: self.most },
            5 => Refusal::TooLong { most: self.most },
            _ => Refusal::Overloaded,
        }
    }
}
