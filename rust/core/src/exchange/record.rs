//! The record of a finished request: the source of its access log line and its metrics.

use penstock_admission::Histogram;

use super::outcome::Outcome;
use super::termination::{Term, Where, Who};
use crate::openai::Code;
use crate::routing::{BackendIndex, ModelIndex, Route, TierIndex};
use crate::rules::RuleCounts;
use crate::time::Nanos;

/// The tier, model and backend of a request, as far as they were determined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    pub tier: Option<TierIndex>,
    /// `None` if there is no such model.
    pub model: Option<ModelIndex>,
    pub backend: Option<BackendIndex>,
}

impl Served {
    /// The tier and model of a request for which no backend was chosen.
    pub fn by_route(route: Option<Route>) -> Self {
        Served {
            tier: route.map(|route| route.tier),
            model: route.map(|route| route.model),
            backend: None,
        }
    }
}

/// A finished request. Times are nanoseconds from arrival; `None` if the phase was not reached.
#[derive(Debug, Clone)]
pub struct Record {
    pub request_id: String,
    pub upstream_id: Option<String>,
    pub served: Served,
    /// The status that was sent; 499 if the client left before any was sent.
    pub status: u16,
    pub code: Option<Code>,
    pub term: Term,
    pub outcome: Outcome,
    pub attempts: u32,
    pub queued: Option<Nanos>,
    pub first: Option<Nanos>,
    /// Times between pieces of the answer, without the first.
    pub gaps: Histogram,
    /// How often each rule had to correct the answer.
    pub rules: RuleCounts,
    pub total: Nanos,
    pub prompt_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Prompt tokens that came from the backend's prefix cache.
    pub cached_tokens: Option<u64>,
}

impl Record {
    /// The record of a request whose client left before it was read completely. `total`: time since its arrival.
    pub fn unread(request_id: String, total: Nanos) -> Self {
        Record {
            request_id,
            upstream_id: None,
            served: Served::default(),
            status: 499,
            code: None,
            term: Term(Who::Client, Where::Request),
            outcome: Outcome::ClientAbort,
            attempts: 0,
            queued: None,
            first: None,
            gaps: Histogram::fine(),
            rules: RuleCounts::default(),
            total,
            prompt_tokens: None,
            output_tokens: None,
            cached_tokens: None,
        }
    }
}
