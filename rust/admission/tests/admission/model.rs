//! What admission should know, computed slowly: a list of all requests there ever were, and sums over it.
//!
//! The model leaves three things open, which admission decides at random or by what it has learned: which
//! backend, how many prompt tokens are cached there, and for how long pushback closes it. So the model
//! predicts no decision; it says what a decision must not be.

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Candidate, Fault, Health, PermitOutcome, Proof, Refusal, Sizes, Tenant, Ticket, TokenLimit,
};

pub const SHORTEST_PAUSE: Nanos = 50 * MILLISECOND;
pub const LONGEST_PAUSE: Nanos = 200 * MILLISECOND;
const SLOW_START: Nanos = 30 * SECOND;
const PENALTY_DECAY: Nanos = 200 * MILLISECOND;
/// Low priority may fill this part of a backend.
const LOW_PERCENT: u64 = 85;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Queued,
    Running,
    Closing,
    /// Its worker is dead; it ends at that time.
    Orphan(Nanos),
    Over,
}

/// The range of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub low: u64,
    pub high: u64,
}

impl Span {
    pub fn exactly(value: u64) -> Self {
        Span { low: value, high: value }
    }

    pub fn contains(self, value: u64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    pub fn plus(self, other: Span) -> Self {
        Span { low: self.low + other.low, high: self.high + other.high }
    }
}

#[derive(Debug, Clone)]
pub struct Request {
    pub ticket: Ticket,
    pub worker: u16,
    pub tier: usize,
    /// Index in the model's list of tenants.
    pub tenant: usize,
    /// 0 is the most urgent. Ageing may have raised it since.
    pub priority: usize,
    pub slots: u32,
    pub prompt: u64,
    pub max_tokens: u64,
    pub streams: bool,
    pub bytes: u64,
    pub candidates: Vec<Candidate>,
    pub arrived: Nanos,
    pub deadline: Nanos,
    pub state: State,
    pub backend: usize,
    pub prefill: Span,
    pub kv: u64,
    pub charged: Span,
    /// Whether its usage was reported.
    pub settled: bool,
    pub pushbacks: u32,
    /// Grants to others of its tier while it waited.
    pub bypasses_before: u32,
    /// It is the trial of its backend.
    pub is_trial: bool,
    pub granted: Nanos,
}

impl Request {
    pub fn is_queued(&self) -> bool {
        self.state == State::Queued
    }

    pub fn holds_permit(&self) -> bool {
        !matches!(self.state, State::Queued | State::Over)
    }

    /// Its permit is given back. Without reported usage the cost depends on the outcome: none if the
    /// backend failed, the prompt alone if the client left before the first token.
    pub fn end(&mut self, outcome: PermitOutcome) {
        self.state = State::Over;
        self.is_trial = false;
        if self.settled {
            return;
        }
        let prompt = self.uncached();
        match outcome {
            PermitOutcome::Dropped => self.charged = Span::default(),
            PermitOutcome::Ignored if self.prefill.low > 0 => self.charged = prompt,
            // Without a stream, the end of its prefill is not seen.
            PermitOutcome::Ignored if self.prefill.high > 0 => self.charged.low = prompt.low,
            PermitOutcome::Ignored | PermitOutcome::Success => {}
        }
    }

    /// Prompt tokens to process where it runs: the whole prompt, if the backend was too full for its prefix
    /// to count.
    pub fn uncached(&self) -> Span {
        let hit = self.hit(self.backend).unwrap_or(0);
        Span { low: self.prompt.saturating_sub(hit).max(1), high: self.prompt }
    }

    pub fn hit(&self, backend: usize) -> Option<u64> {
        let mut candidates = self.candidates.iter();
        let found = candidates.find(|candidate| usize::from(candidate.backend) == backend);
        found.map(|candidate| u64::from(candidate.hit))
    }

    /// Whether its priority may have risen by now.
    pub fn may_have_aged(&self, now: Nanos) -> bool {
        now >= self.arrived + (self.deadline - self.arrived) / 2
    }

    /// Whether a backend may be reserved for it by now.
    pub fn may_be_overdue(&self, now: Nanos) -> bool {
        self.is_queued() && (now >= self.arrived + 250 * MILLISECOND || self.bypasses_before >= 8)
    }
}

/// What is known of one backend.
#[derive(Debug, Clone)]
pub struct Backend {
    pub limit: u32,
    pub node: Option<usize>,
    pub grace: Nanos,
    pub prefill: Option<u64>,
    pub kv: Option<u64>,
    pub learns_kv: bool,
    pub health: Health,
    was_healthy: bool,
    /// Failures in a row, and the kind of the last one.
    failures: u32,
    fault: Fault,
    /// When the first of them was, or the first unavailable answer.
    since: Nanos,
    /// Unavailable answers in a row, before they are an outage.
    unavailable: u32,
    /// No trial before this.
    pub out_until: Nanos,
    penalty: u32,
    penalty_changed: Nanos,
    recovered: Option<Nanos>,
    /// Pushback has closed it until some time between these.
    pub closed: Span,
}

impl Backend {
    pub fn is_usable(&self) -> bool {
        self.limit > 0 && self.health != Health::Down
    }

    pub fn effective(&self, now: Nanos) -> u32 {
        let started = self.recovered.map_or(self.limit, |since| {
            let grown = (now - since).min(SLOW_START);
            let part = 0.1 + 0.9 * grown as f64 / SLOW_START as f64;
            (f64::from(self.limit) * part - 1e-9).ceil() as u32
        });
        started.saturating_sub(self.penalty).max(self.limit.min(1))
    }

    /// Whether its KV cache is large enough for a prompt, if nothing else ran.
    pub fn holds(&self, request: &Request) -> bool {
        self.kv.is_none_or(|limit| request.prompt <= limit)
    }

    /// The slots that a priority may fill.
    pub fn room_of(&self, priority: usize, now: Nanos) -> u64 {
        let limit = u64::from(self.effective(now));
        if priority == 2 { (limit * LOW_PERCENT).div_ceil(100) } else { limit }
    }

    pub fn set_health(&mut self, health: Health, now: Nanos) {
        match health {
            Health::Healthy => {
                if self.health == Health::Down && self.was_healthy {
                    self.recovered = Some(now);
                }
                self.was_healthy = true;
            }
            Health::Down => self.recovered = None,
            Health::Unknown => {}
        }
        self.health = health;
    }

    pub fn has_outage(&self) -> bool {
        self.failures > 0
    }

    /// Returns whether that begins an outage.
    pub fn fail(&mut self, fault: Fault, now: Nanos) -> bool {
        let is_first = self.failures == 0;
        if is_first && self.unavailable == 0 {
            self.since = now;
        }
        if is_first && fault == Fault::Unavailable {
            self.unavailable += 1;
            if self.unavailable < 3 {
                return false;
            }
        }
        if is_first || now >= self.out_until {
            let pause = ((50 * MILLISECOND) << self.failures.min(16)).min(2 * SECOND);
            (self.out_until, self.fault) = (now + pause, fault);
            self.failures += 1;
        }
        is_first
    }

    /// Returns whether that ends an outage.
    pub fn reached(&mut self, proof: Proof, now: Nanos) -> bool {
        let is_unconnected = matches!(self.fault, Fault::Refused | Fault::Unreachable);
        let ends = self.has_outage()
            && match proof {
                Proof::Connected => is_unconnected,
                Proof::Answered => self.fault == Fault::Died && now >= self.out_until,
                Proof::Survived => self.fault == Fault::Died,
                Proof::Served => true,
            };
        if ends {
            (self.failures, self.unavailable) = (0, 0);
        }
        ends
    }

    /// Part of an answer has arrived, to a request that was sent at `sent`. Returns what that proves.
    pub fn answered(&mut self, sent: Nanos) -> Proof {
        if sent <= self.since {
            return Proof::Answered;
        }
        self.unavailable = 0;
        Proof::Served
    }

    pub fn note_pushback(&mut self, now: Nanos) {
        self.closed.low = self.closed.low.max(now + SHORTEST_PAUSE);
        self.closed.high = self.closed.high.max(now + LONGEST_PAUSE);
        self.penalty = (self.penalty + 1).min(self.limit);
        self.penalty_changed = now;
    }

    pub fn turn(&mut self, now: Nanos) {
        if self.penalty > 0 && now >= self.penalty_changed + PENALTY_DECAY {
            self.penalty -= 1;
            self.penalty_changed = now;
        }
        if self.recovered.is_some_and(|since| now >= since + SLOW_START) {
            self.recovered = None;
        }
    }
}

pub struct Model {
    pub sizes: Sizes,
    pub tenants: Vec<Tenant>,
    pub backends: Vec<Backend>,
    pub requests: Vec<Request>,
    /// Offers that were refused on arrival.
    pub refused: u64,
    pub now: Nanos,
    pub ticked: Nanos,
}

impl Model {
    pub fn new(sizes: Sizes, tenants: Vec<Tenant>, now: Nanos) -> Self {
        let tokens =
            |limit| if let TokenLimit::Tokens(tokens) = limit { Some(tokens) } else { None };
        let backends = sizes.backends.iter().map(|limits| Backend {
            limit: limits.slots,
            node: limits.node,
            grace: limits.abort_grace,
            prefill: tokens(limits.prefill),
            kv: tokens(limits.kv),
            learns_kv: limits.kv == TokenLimit::Auto,
            health: Health::Unknown,
            was_healthy: false,
            failures: 0,
            fault: Fault::Refused,
            since: 0,
            unavailable: 0,
            out_until: 0,
            penalty: 0,
            penalty_changed: 0,
            recovered: None,
            closed: Span::default(),
        });
        let backends = backends.collect();
        Model { backends, sizes, tenants, requests: Vec::new(), refused: 0, now, ticked: now }
    }

    pub fn used(&self, belongs: impl Fn(&Request) -> bool) -> u32 {
        self.holding(belongs).map(|request| request.slots).sum()
    }

    /// Requests with a permit.
    pub fn holding(&self, belongs: impl Fn(&Request) -> bool) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.holds_permit() && belongs(request))
    }

    pub fn queue(&self, tier: usize) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.is_queued() && request.tier == tier)
    }

    pub fn is_on_node(&self, request: &Request, node: usize) -> bool {
        self.backends[request.backend].node == Some(node)
    }

    /// Whether a backend may get requests at all.
    pub fn is_open(&self, backend: usize) -> bool {
        let node = self.backends[backend].node.and_then(|node| self.sizes.nodes[node]);
        self.backends[backend].is_usable() && node != Some(0)
    }

    /// Whether a tier has a backend that is worth waiting for: one that is down may come back.
    pub fn has_backend_in_service(&self, tier: usize) -> bool {
        let limits = &self.sizes.tiers[tier];
        let mut backends = limits.backends.iter().map(|&backend| usize::from(backend));
        let node = |at: usize| self.backends[at].node.and_then(|node| self.sizes.nodes[node]);
        limits.concurrency != Some(0)
            && backends.any(|at| self.backends[at].limit > 0 && node(at) != Some(0))
    }

    /// Whether a backend runs its trial.
    pub fn is_tried(&self, backend: usize) -> bool {
        self.holding(|request| request.backend == backend).any(|request| request.is_trial)
    }

    /// Why a request cannot run anywhere in the present state. It is too large only if it would be so with
    /// every backend up; how many slots a drained one will have is not known. `waits`: it waits already,
    /// and backends that are down may come back.
    pub fn why_unservable(&self, request: &Request, waits: bool) -> Option<Refusal> {
        let tier = self.sizes.tiers[request.tier].concurrency.unwrap_or(u32::MAX);
        let above = tier.min(self.tenants[request.tenant].slots.unwrap_or(u32::MAX));
        let slots = |backend: &Backend, limit: u32| {
            let node = backend.node.and_then(|node| self.sizes.nodes[node]).unwrap_or(u32::MAX);
            limit.min(node).min(above)
        };
        let ever = |backend: &Backend| match backend.limit {
            0 => slots(backend, u32::MAX),
            limit => slots(backend, limit),
        };
        let tokens = |backend: &Backend| backend.kv.unwrap_or(u64::MAX);
        let all = || request.candidates.iter().map(|c| &self.backends[usize::from(c.backend)]);
        let large = || all().filter(|backend| backend.holds(request));
        let may_take = |b: &Backend| waits || b.is_usable();
        let is_open = |at: &u16| self.is_open(usize::from(*at));
        let has_open = request.candidates.iter().any(|one| is_open(&one.backend));
        if waits && !has_open && self.sizes.tiers[request.tier].backends.iter().any(is_open) {
            return Some(Refusal::NoBackend);
        }
        if large().any(|b| may_take(b) && slots(b, b.limit) >= request.slots) {
            return None;
        }
        let any = all().map(ever).max().unwrap_or(0);
        let most = large().map(ever).max().unwrap_or(0);
        let most_tokens = all().map(tokens).max().unwrap_or(0);
        if any > 0 && most_tokens < request.prompt {
            Some(Refusal::TooLong { most: most_tokens as u32 })
        } else if most > 0 && most < request.slots {
            Some(Refusal::TooWide { most })
        } else {
            Some(Refusal::NoBackend)
        }
    }
}
