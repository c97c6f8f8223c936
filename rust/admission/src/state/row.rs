//! One request as admission keeps it. Rows are the truth; everything else is an index over them.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use super::heap::Node;
use crate::api::decision::{Grant, Refusal};
use crate::api::ids::{BackendIndex, Owner, Ticket, TierIndex};
use crate::api::offer::Candidates;
use crate::limits::caps::Resources;
use crate::shm::plain;
use crate::time::Nanos;

/// Where a request stands. Zeroed memory is `Free`.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Free = 0,
    Queued,
    /// Has its permit, but its owner has not taken it yet.
    Granted,
    Running,
    /// The request is over for the client, but the backend may still work on it: it counts.
    Closing,
    /// Turned away while it waited; its owner has not heard it yet.
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

/// The generation and the state of a row in one word, so that a death between two stores never
/// leaves half a change: all else is written before it.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Stamp(AtomicU64);

impl Stamp {
    fn load(&self) -> (u32, State) {
        let word = self.0.load(Ordering::Relaxed);
        ((word >> 8) as u32, State::ALL[usize::from(word as u8)])
    }

    fn store(&self, generation: u32, state: State) {
        // The fences bind the compiler alone: to a reader that took the lock, the kernel and the
        // lock itself have made every store visible.
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
    /// Where it runs; of no meaning while it waits.
    pub(crate) backend: BackendIndex,
    /// Its band now: ageing raises it.
    pub(crate) priority: u8,
    pub(crate) pushbacks: u8,
    /// How often a later request went before it because it did not fit.
    pub(crate) bypassed: u8,
    why: u8,
    /// 1: its answer comes whole, so that no first token shows.
    pub(crate) streams: u8,
    /// 1: its charge is what it has really cost.
    pub(crate) settled: u8,
    /// Index of its length class.
    pub(crate) class: u16,
    /// The backend that is kept free for it, or `NO_BACKEND`.
    pub(crate) reserved_backend: BackendIndex,
    pub(crate) tenant: u32,
    pub(crate) flow: u32,
    most: u32,
    pub(crate) prompt: u32,
    /// Output tokens that were expected of it.
    pub(crate) expected: u32,
    pub(crate) resources: Resources,
    pub(crate) bytes: u64,
    /// Cost units charged for it so far.
    pub(crate) cost: u64,
    pub(crate) candidates: Candidates,
    pub(crate) arrived: Nanos,
    /// To be dispatched by then, or not at all.
    pub(crate) deadline: Nanos,
    /// When its band rises next.
    pub(crate) ages: Nanos,
    /// Since when it has been found not to fit although there were slots; 0: it has not.
    pub(crate) blocked: Nanos,
    /// Of a refusal: when to ask again. Of an orphan: when it counts no longer.
    pub(crate) until: Nanos,
    pub(crate) granted: Nanos,
    /// How long the prompt was expected to take at its grant; 0: nothing was known.
    pub(crate) predicted: Nanos,
    /// Prompt tokens that its backend had read in all at its grant.
    pub(crate) prefilled_before: u64,
    /// Of a whole answer: when its prompt will have been read.
    pub(crate) prefill_end: Nanos,
    /// Order of arrival over all tiers.
    pub(crate) sequence: u64,
    pub(crate) node: Node,
    /// Next row of a mailbox or of the free list.
    pub(crate) next: u32,
    /// 1: it tries whether its backend can be reached again.
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

    /// Begins the row's next life. Everything else in it has been written.
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

    /// Whether a row with a permit has its prompt read and will not say when that is over.
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
