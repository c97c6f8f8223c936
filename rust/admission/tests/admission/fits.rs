//! Whether a waiting request fits, as far as the model can be sure.

use crate::model::{Backend, Model, Request, Span};

/// What a request would use of a backend.
#[derive(Debug, Clone, Copy)]
struct Need {
    slots: u32,
    prefill: u64,
    kv: u64,
}

/// How certain an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It fits, whatever the model leaves open.
    Certain,
    /// It might fit, by what the model leaves open.
    Possible,
}

/// The most output tokens that admission may expect of a request: its first guess, or what it has learned.
fn expected(request: &Request) -> u64 {
    request.max_tokens.min(4096)
}

impl Model {
    /// Whether a waiting request fits on some backend now.
    ///
    /// `kept`: backends may be reserved for overdue requests, which the model does not follow.
    pub fn fits(&self, request: &Request, certainty: Certainty, kept: bool) -> bool {
        if kept && certainty == Certainty::Certain && self.anyone_overdue() {
            return false;
        }
        let tier = self.sizes.tiers[request.tier].concurrency;
        let tenant = self.tenants[request.tenant].slots;
        let has_room =
            |limit: Option<u32>, used: u32| limit.is_none_or(|limit| used + request.slots <= limit);
        has_room(tier, self.used(|other| other.tier == request.tier))
            && has_room(tenant, self.used(|other| other.tenant == request.tenant))
            && request.candidates.iter().any(|candidate| {
                let index = usize::from(candidate.backend);
                let backend = &self.backends[index];
                let node_has_room = backend.node.is_none_or(|node| {
                    has_room(
                        self.sizes.nodes[node],
                        self.used(|other| self.is_on_node(other, node)),
                    )
                });
                let cached =
                    if certainty == Certainty::Certain { 0 } else { u64::from(candidate.hit) };
                let output = if certainty == Certainty::Certain { expected(request) } else { 1 };
                let need = Need {
                    slots: request.slots,
                    prefill: request.prompt.saturating_sub(cached).max(1),
                    kv: request.prompt + output,
                };
                let closed = backend.closed;
                let until = if certainty == Certainty::Certain { closed.high } else { closed.low };
                node_has_room
                    && backend.is_usable()
                    && until <= self.now
                    && !(backend.has_outage()
                        && (self.is_tried(index) || backend.out_until > self.now))
                    && self.has_slots(index, request, need.slots, certainty)
                    && self.has_tokens(index, request, need, certainty)
            })
    }

    fn anyone_overdue(&self) -> bool {
        self.requests.iter().any(|request| request.may_be_overdue(self.now))
    }

    fn has_slots(&self, index: usize, request: &Request, slots: u32, certainty: Certainty) -> bool {
        let backend = &self.backends[index];
        let used = self.used(|other| other.backend == index);
        let aged = certainty == Certainty::Possible && request.may_have_aged(self.now);
        let priority = if aged { 0 } else { request.priority };
        used == 0 && slots <= backend.limit
            || u64::from(used) + u64::from(slots) <= backend.room_of(priority, self.now)
    }

    fn has_tokens(
        &self,
        index: usize,
        request: &Request,
        need: Need,
        certainty: Certainty,
    ) -> bool {
        let Backend { prefill, kv, .. } = &self.backends[index];
        let held = self.prefill_used(index);
        let held = if certainty == Certainty::Certain { held.high } else { held.low };
        let used = self.kv_used(|other| other.backend == index);
        let empty = self.used(|other| other.backend == index) == 0;
        self.backends[index].holds(request)
            && (held == 0 || prefill.is_none_or(|limit| held + need.prefill <= limit))
            && (empty || kv.is_none_or(|limit| used + need.kv <= limit))
    }

    pub fn prefill_used(&self, index: usize) -> Span {
        let spans = self.holding(|other| other.backend == index).map(|other| other.prefill);
        spans.fold(Span::default(), Span::plus)
    }

    pub fn kv_used(&self, belongs: impl Fn(&Request) -> bool) -> u64 {
        self.holding(belongs).map(|request| request.kv).sum()
    }
}

/// Whether an earlier request would have fitted wherever a later one was placed: it needs no more, and may
/// go there.
pub fn needs_no_more(early: &Request, late: &Request) -> bool {
    let both = (early.hit(late.backend), late.hit(late.backend));
    early.slots <= late.slots
        && early.prompt <= late.prompt
        && early.prompt + expected(early) <= late.kv
        && matches!(both, (Some(early), Some(late)) if early >= late)
}
