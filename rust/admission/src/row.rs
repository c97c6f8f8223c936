//! One request as admission keeps it. Rows are the truth; everything else is an index over them.

use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use super::heap::{NONE, Node};
use super::offer::{Candidates, Grant, Owner, Refusal, Ticket};
use crate::index::{BackendIndex, TierIndex};
use crate::shm::plain;
use crate::time::Nanos;

/// Where a request stands. Zeroed memory is `Free`.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
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
    const ALL: [State; 6] = [
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
pub(super) struct Stamp(AtomicU64);

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

/// What a request takes of a backend.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Running sequences: `n` of a chat request.
    pub slots: u32,
    _padding: u32,
    /// Uncached prompt tokens, until the first token.
    pub prefill: u64,
    /// Prompt and expected output tokens, until the end.
    pub kv: u64,
}

impl Resources {
    pub fn new(slots: u32, prefill: u64, kv: u64) -> Self {
        Resources { slots, _padding: 0, prefill, kv }
    }

    pub(super) fn plus(self, more: Self) -> Self {
        Self::new(self.slots + more.slots, self.prefill + more.prefill, self.kv + more.kv)
    }
}

#[repr(C)]
#[derive(Debug)]
pub(super) struct Row {
    stamp: Stamp,
    pub(super) owner: Owner,
    pub(super) tier: TierIndex,
    /// Where it runs; of no meaning while it waits.
    pub(super) backend: BackendIndex,
    /// Its band now: ageing raises it.
    pub(super) band: u8,
    pub(super) bounces: u8,
    /// How often a later request went before it because it did not fit.
    pub(super) bypassed: u8,
    why: u8,
    /// 1: its answer comes whole, so that no first token shows.
    pub(super) whole: u8,
    /// 1: its charge is what it has really cost.
    pub(super) settled: u8,
    /// Index of its length class.
    pub(super) class: u16,
    /// The backend that is kept free for it, or `NO_BACKEND`.
    pub(super) holds: BackendIndex,
    pub(super) tenant: u32,
    pub(super) flow: u32,
    most: u32,
    pub(super) prompt: u32,
    /// Output tokens that were expected of it.
    pub(super) expected: u32,
    pub(super) resources: Resources,
    pub(super) bytes: u64,
    /// Cost units charged for it so far.
    pub(super) charged: u64,
    pub(super) candidates: Candidates,
    pub(super) arrived: Nanos,
    /// To be dispatched by then, or not at all.
    pub(super) deadline: Nanos,
    /// When its band rises next.
    pub(super) ages: Nanos,
    /// Since when it has been found not to fit although there were slots; 0: it has not.
    pub(super) blocked: Nanos,
    /// Of a refusal: when to ask again. Of an orphan: when it counts no longer.
    pub(super) until: Nanos,
    pub(super) granted: Nanos,
    /// How long the prompt was expected to take at its grant; 0: nothing was known.
    pub(super) predicted: Nanos,
    /// Prompt tokens that its backend had read in all at its grant.
    pub(super) read_before: u64,
    /// Of a whole answer: when its prompt will have been read.
    pub(super) read_at: Nanos,
    /// Order of arrival over all tiers.
    pub(super) sequence: u64,
    pub(super) node: Node,
    /// Next row of a mailbox or of the free list.
    pub(super) next: u32,
    /// 1: it tries whether its backend can be reached again.
    pub(super) trial: u32,
}

plain!(Row);

pub(super) const NO_BACKEND: BackendIndex = BackendIndex::MAX;

impl Row {
    pub(super) fn state(&self) -> State {
        self.stamp.load().1
    }

    pub(super) fn set_state(&self, state: State) {
        self.stamp.store(self.generation(), state);
    }

    /// Begins the row's next life. Everything else in it has been written.
    pub(super) fn begin(&self, state: State) {
        self.stamp.store(self.generation().wrapping_add(1), state);
    }

    pub(super) fn generation(&self) -> u32 {
        self.stamp.load().0
    }

    pub(super) fn ticket(&self, at: u32) -> Ticket {
        Ticket { row: at, generation: self.generation() }
    }

    pub(super) fn grant(&self, at: u32) -> Grant {
        Grant {
            ticket: self.ticket(at),
            backend: self.backend,
            covered: self.expected,
            is_trial: self.trial != 0,
        }
    }

    pub(super) fn holds_permit(&self) -> bool {
        matches!(self.state(), State::Granted | State::Running | State::Closing)
    }

    /// Whether a row with a permit has its prompt read and will not say when that is over.
    pub(super) fn reads_silently(&self) -> bool {
        self.whole != 0 && self.resources.prefill != 0
    }

    pub(super) fn set_refusal(&mut self, why: Refusal) {
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

    pub(super) fn refusal(&self) -> Refusal {
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

/// The free rows: a list of those that were used before, and a mark behind which none was.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct FreeRows {
    head: u32,
    untouched: u32,
}

impl FreeRows {
    pub(super) const ALL: FreeRows = FreeRows { head: NONE, untouched: 0 };

    /// None of the first `touched` is free, so far.
    pub(super) fn up_to(touched: u32) -> Self {
        FreeRows { head: NONE, untouched: touched }
    }

    pub(super) fn peek(self, rows: &[Row]) -> Option<u32> {
        match self.head {
            NONE => ((self.untouched as usize) < rows.len()).then_some(self.untouched),
            head => Some(head),
        }
    }

    /// Whether a row that was used before is free.
    pub(super) fn is_listed(self) -> bool {
        self.head != NONE
    }

    /// Takes the row that [`Self::peek`] has shown.
    pub(super) fn take(&mut self, rows: &[Row]) {
        match self.head {
            NONE => self.untouched += 1,
            head => self.head = rows[head as usize].next,
        }
    }

    pub(super) fn give_back(&mut self, rows: &mut [Row], at: u32) {
        rows[at as usize].next = self.head;
        self.head = at;
    }

    /// Rows that have ever been used: all others are free.
    pub(super) fn touched(self) -> usize {
        self.untouched as usize
    }
}
