//! What admission knows of one tier: its limits, its queue, its priorities.

use super::heap::NONE;
use crate::api::ids::BackendIndex;
use crate::api::offer::PRIORITIES;
use crate::learned::rate::Rate;
use crate::shm::plain;
use crate::time::Nanos;

/// Most backends that there can be.
pub(crate) const MAX_BACKENDS: usize = 256;

/// Before the rate of a tier is known, a wait longer than this part of the longest wait is too long (`CoDel`
/// with a target of 0.2 D).
const SOJOURN_PART: Nanos = 5;

/// However long its prefill takes, a request may wait for this part of the service level: else long prompts
/// would be refused that could run in a moment.
const MIN_WAIT_PART: Nanos = 4;

/// Limits and weights of one tier. `concurrency: None`: no cap of its own.
#[derive(Debug, Clone)]
pub struct TierLimits {
    pub concurrency: Option<u32>,
    pub backends: Vec<BackendIndex>,
    pub queue_requests: u32,
    pub queue_tokens: u64,
    pub queue_bytes: u64,
    /// Waiting requests of one named tenant.
    pub tenant_requests: u32,
    /// Longest wait.
    pub wait: Nanos,
    /// The service level for the first token, if there is one.
    pub first_token: Option<Nanos>,
    /// Its share beside other tiers on the same GPU.
    pub share: u32,
    /// Weights of high, normal and low priority.
    pub priority_weights: [u32; PRIORITIES],
}

/// The requests of one priority.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PriorityState {
    /// Heap of the flows with waiting requests, the least served first.
    pub(crate) root: u32,
    pub(crate) weight: u32,
    pub(crate) requests: u32,
    pub(crate) slots: u32,
    pub(crate) prefill: u64,
    /// Sum of the weights of these flows.
    pub(crate) flows: u64,
    /// Slots that running requests use.
    pub(crate) used: u32,
    _padding: u32,
    /// Cost units served, divided by the weight.
    pub(crate) service: u64,
}

impl PriorityState {
    fn new(weight: u32) -> Self {
        PriorityState {
            root: NONE,
            weight: weight.max(1),
            requests: 0,
            slots: 0,
            prefill: 0,
            flows: 0,
            used: 0,
            _padding: 0,
            service: 0,
        }
    }

    /// Clears all but the weight and the service.
    pub(crate) fn clear(&mut self) {
        *self = PriorityState { service: self.service, ..Self::new(self.weight) };
    }
}

/// A set of backends, as bits.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackendSet([u64; MAX_BACKENDS / 64]);

impl BackendSet {
    pub(crate) fn contains(&self, backend: usize) -> bool {
        self.0[backend / 64] & 1 << (backend % 64) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, bits)| {
            std::iter::successors((bits != 0).then_some(bits), |bits| {
                let rest = bits & (bits - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |bits| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct TierState {
    pub(crate) backends: BackendSet,
    pub(crate) queue_requests: u32,
    pub(crate) tenant_requests: u32,
    pub(crate) queue_tokens: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) wait: Nanos,
    first_token: Nanos,
    pub(crate) share: u32,
    /// Requests that wait.
    pub(crate) requests: u32,
    pub(crate) tokens: u64,
    pub(crate) bytes: u64,
    pub(crate) priorities: [PriorityState; PRIORITIES],
    /// Cost units served, divided by the share.
    pub(crate) service: u64,
    /// The first tier that shares a backend or node with this one, directly or through others.
    pub(crate) group: u32,
    _padding: u32,
    /// Service of the tier of this group that was served last: an idle tier begins there.
    pub(crate) group_clock: u64,
    /// Service of the flow, and of the priority, that was served last: idle ones begin there.
    pub(crate) flow_clock: u64,
    pub(crate) priority_clock: u64,
    /// No waiting request expires before this.
    pub(crate) earliest: Nanos,
    /// Slots that become free per second.
    pub(crate) speed: Rate,
    /// Since when waits have been too long; 0: they are not.
    late_since: Nanos,
    /// Since when requests have been refused because of load; 0: none was.
    pub(crate) shedding_since: Nanos,
}

plain!(TierState);

impl TierState {
    pub(crate) fn new(limits: &TierLimits, now: Nanos) -> Self {
        let mut backends = BackendSet([0; MAX_BACKENDS / 64]);
        for &backend in &limits.backends {
            backends.0[usize::from(backend) / 64] |= 1 << (backend % 64);
        }
        TierState {
            backends,
            queue_requests: limits.queue_requests,
            tenant_requests: limits.tenant_requests,
            queue_tokens: limits.queue_tokens,
            queue_bytes: limits.queue_bytes,
            wait: limits.wait,
            first_token: limits.first_token.unwrap_or(Nanos::MAX),
            share: limits.share.max(1),
            requests: 0,
            tokens: 0,
            bytes: 0,
            priorities: limits.priority_weights.map(PriorityState::new),
            service: 0,
            group: 0,
            _padding: 0,
            group_clock: 0,
            flow_clock: 0,
            priority_clock: 0,
            earliest: Nanos::MAX,
            speed: Rate::new(now),
            late_since: 0,
            shedding_since: 0,
        }
    }

    /// The longest time that a request may wait: what the service level leaves after its prefill.
    pub(crate) fn max_wait(&self, prefill_time: Nanos) -> Nanos {
        let left = self.first_token.saturating_sub(prefill_time);
        self.wait.min(left.max(self.first_token / MIN_WAIT_PART))
    }

    /// A request is dispatched after a wait of `sojourn`, out of at most `max_wait`. If the queue is empty
    /// now, its wait says nothing about the next ones.
    pub(crate) fn note_sojourn(&mut self, sojourn: Nanos, max_wait: Nanos, now: Nanos) {
        if self.requests == 0 || sojourn * SOJOURN_PART < max_wait {
            self.late_since = 0;
        } else if self.late_since == 0 {
            self.late_since = now.max(1);
        }
    }

    /// The queue is empty.
    pub(crate) fn note_empty(&mut self, now: Nanos) {
        self.late_since = 0;
        self.shedding_since = 0;
        self.earliest = Nanos::MAX;
        self.speed.set_demand(false, now);
    }

    /// Whether waits have been too long for a whole deadline (`CoDel`): used while the rate is not known.
    pub(crate) fn is_late(&self, max_wait: Nanos, now: Nanos) -> bool {
        self.late_since != 0 && now.saturating_sub(self.late_since) >= max_wait
    }
}
