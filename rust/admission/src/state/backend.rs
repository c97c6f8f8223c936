//! What admission knows of one backend.

use std::ops::Deref;

use super::heap::NONE;
use super::outage::Outage;
use crate::api::report::Health;
use crate::learned::first_tokens::FirstTokens;
use crate::learned::prefill_rate::{CHUNK, PrefillRate};
use crate::limits::adaptive::{Adaptive, AdaptiveMode, Situation};
use crate::limits::caps::{Cap, Resources};
use crate::limits::tokens::{StoredLimit, TokenLimit};
use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// A backend that comes back grows to its full limit in this time, from a tenth of it: its caches are cold.
const SLOW_START: Nanos = 30 * SECOND;

/// After pushback a backend has one slot less; each such time without pushback gives one back.
const PENALTY_DECAY: Nanos = 200 * MILLISECOND;

/// The part of the KV cache that may be reserved: lengths are estimates.
const KV_PART: f64 = 0.92;

/// `prefill_tokens: auto` is what the backend processes in this many seconds, at its known or proven rate,
/// and at least a chunk. A quarter of a second would let in no second long prompt beside a first, and costs
/// more requests than it saves (`benches/goodput`).
const PREFILL_SLACK: f64 = 1.0;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackendState {
    /// Slots in use by priority.
    pub(crate) by_priority: [u32; 3],
    pub(crate) node: u32,
    health: Health,
    was_healthy: u8,
    /// Counts the restarts of the backend, for the prefix index.
    pub(crate) generation: u16,
    pub(crate) weight: u32,
    /// Slots taken off after pushbacks.
    penalty: u32,
    /// The row that has reserved it, or [`NONE`].
    pub(crate) reserved_for: u32,
    _more_padding: u32,
    pub(crate) outage: Outage,
    prefill: StoredLimit,
    kv: StoredLimit,
    /// After pushback: no grant before this.
    pub(crate) closed_until: Nanos,
    penalty_changed: Nanos,
    /// When it came back, during its slow start; 0: no slow start.
    recovered: Nanos,
    /// The number of its last grant: equal backends take turns.
    pub(crate) last_grant: u64,
    pub(crate) abort_grace: Nanos,
    /// When it last answered a request; 0: never.
    pub(crate) last_response: Nanos,
    pub(crate) prefill_rate: PrefillRate,
    /// Heap of its rows whose prefill end is estimated.
    pub(crate) prefilling: u32,
    _padding: u32,
    pub(crate) first_tokens: FirstTokens,
    pub(crate) adaptive: Adaptive,
}

plain!(BackendState);

/// What is configured for a backend.
#[derive(Debug, Clone, Copy)]
pub struct BackendLimits {
    pub slots: u32,
    /// Index of its GPU node.
    pub node: Option<usize>,
    pub prefill: TokenLimit,
    pub kv: TokenLimit,
    /// Thousandths: its share beside others of the same speed.
    pub weight: u32,
    pub abort_grace: Nanos,
    pub adaptive: AdaptiveMode,
    /// The strictest time between tokens that its tiers promise.
    pub inter_token: Option<Nanos>,
}

impl BackendState {
    pub(crate) fn new(limits: &BackendLimits, now: Nanos) -> Self {
        BackendState {
            by_priority: [0; 3],
            node: limits.node.map_or(NONE, |node| node as u32),
            health: Health::Unknown,
            was_healthy: 0,
            generation: 0,
            weight: limits.weight.max(1),
            penalty: 0,
            reserved_for: NONE,
            _more_padding: 0,
            outage: Outage::NONE,
            prefill: StoredLimit::new(limits.prefill, CHUNK),
            kv: StoredLimit::new(limits.kv, u64::MAX),
            closed_until: 0,
            penalty_changed: 0,
            recovered: 0,
            last_grant: 0,
            abort_grace: limits.abort_grace,
            last_response: 0,
            prefill_rate: PrefillRate::UNKNOWN,
            prefilling: NONE,
            _padding: 0,
            first_tokens: FirstTokens::EMPTY,
            adaptive: Adaptive::new(limits.adaptive, limits.inter_token, now),
        }
    }

    pub(crate) fn node(&self) -> Option<usize> {
        (self.node != NONE).then_some(self.node as usize)
    }

    pub(crate) fn health(&self) -> Health {
        self.health
    }

    pub(crate) fn starts_slowly(&self) -> bool {
        self.recovered != 0
    }

    pub(crate) fn is_down(&self) -> bool {
        self.health == Health::Down
    }

    pub(crate) fn set_health(&mut self, health: Health, now: Nanos) {
        if health == Health::Healthy {
            if self.health == Health::Down && self.was_healthy != 0 {
                self.recovered = now.max(1);
            }
            self.was_healthy = 1;
        } else if health == Health::Down {
            self.generation = self.generation.wrapping_add(1);
            self.recovered = 0;
        }
        self.health = health;
    }

    /// It pushed a request back: one slot less for a while, closed for a moment.
    pub(crate) fn note_pushback(&mut self, limit: u32, pause: Nanos, now: Nanos) {
        self.adaptive.note_overload();
        self.closed_until = self.closed_until.max(now + pause);
        self.penalty = (self.penalty + 1).min(limit);
        self.penalty_changed = now;
    }

    /// Time has passed. `backlog`: requests wait that it could serve.
    pub(crate) fn tick(&mut self, cap: &Cap, backlog: bool, now: Nanos) {
        let (limit, used) = (cap.bound(), cap.used.slots);
        self.adaptive.update(Situation { limit, used, backlog }, now);
        if self.penalty > 0 && now >= self.penalty_changed + PENALTY_DECAY {
            self.penalty -= 1;
            self.penalty_changed = now;
        }
        if self.recovered != 0 && now >= self.recovered + SLOW_START {
            self.recovered = 0;
        }
        if self.prefill.auto != 0 {
            let tokens = (self.prefill_rate.proven() * PREFILL_SLACK) as u64;
            self.prefill.tokens = tokens.max(CHUNK);
        }
    }

    /// Notes how many prompt tokens are in flight on this backend now.
    pub(crate) fn note_prefill(&mut self, tokens: u64, now: Nanos) {
        self.prefill_rate.note(tokens, self.prefill.tokens, now);
    }

    /// The engine has reported the size of its KV cache.
    pub(crate) fn learn_kv(&mut self, tokens: u64) {
        if self.kv.auto != 0 {
            self.kv.tokens = (tokens as f64 * KV_PART) as u64;
        }
    }

    /// Time from dispatch to first token, as far as known; 0: nothing is known.
    pub(crate) fn prefill_time(&self, prompt: u64) -> Nanos {
        self.first_tokens.expect(prompt, &self.prefill_rate)
    }

    pub(crate) fn prefill_limit(&self) -> Option<u64> {
        (self.prefill.tokens != u64::MAX).then_some(self.prefill.tokens)
    }

    pub(crate) fn kv_limit(&self) -> Option<u64> {
        (self.kv.tokens != u64::MAX).then_some(self.kv.tokens)
    }
}

/// A backend with its cap.
#[derive(Clone, Copy)]
pub(crate) struct Backend<'a> {
    pub(crate) state: &'a BackendState,
    pub(crate) cap: &'a Cap,
}

impl Deref for Backend<'_> {
    type Target = BackendState;

    fn deref(&self) -> &BackendState {
        self.state
    }
}

impl Backend<'_> {
    /// Whether it may be granted requests in its present state.
    pub(crate) fn is_usable(&self) -> bool {
        self.state.health != Health::Down && self.cap.bound() != 0
    }

    /// Slots that may be in use now: the limit, less what slow start, the adaptive limit and recent
    /// pushbacks take off. At least one, so that it is tried.
    pub(crate) fn effective(&self, now: Nanos) -> u32 {
        let limit = self.cap.bound();
        let started = match self.state.recovered {
            0 => limit,
            since => {
                let grown = now.saturating_sub(since).min(SLOW_START);
                let parts = SLOW_START / 10 + grown * 9 / 10;
                (u64::from(limit) * parts).div_ceil(SLOW_START) as u32
            }
        };
        let allowed =
            self.state.adaptive.allowed(limit).min(started).saturating_sub(self.state.penalty);
        allowed.max(limit.min(1))
    }

    /// Whether a request fits in slots and tokens.
    pub(crate) fn fits(&self, resources: Resources, now: Nanos) -> bool {
        let used = self.cap.used.slots;
        (used == 0 || used + resources.slots <= self.effective(now))
            && self.has_tokens(resources.prefill, resources.kv)
    }

    /// Whether its tokens fit. A request on an empty backend always does: an oversized one runs alone.
    pub(crate) fn has_tokens(&self, prefill: u64, kv: u64) -> bool {
        let used = self.cap.used;
        (used.prefill == 0 || used.prefill + prefill <= self.state.prefill.tokens)
            && self.has_memory(kv)
    }

    /// Whether this many more KV tokens fit, or nothing runs.
    pub(crate) fn has_memory(&self, kv: u64) -> bool {
        let used = self.cap.used;
        used.slots == 0 || used.kv + kv <= self.state.kv.tokens
    }
}
