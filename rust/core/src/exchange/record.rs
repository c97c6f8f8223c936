//! What is known of a request when it has ended: the source of its log line and its metrics.

use std::io::Write;

use crate::dialect::RuleCounts;
use crate::json::write_string;
use crate::metrics::Histogram;
use crate::openai::Code;
use crate::routing::{BackendIndex, TierIndex};
use crate::time::{Nanos, as_ms};

/// The `result` label of an attempt at a backend (contract §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    Ok,
    ConnectFailed,
    Reset,
    Timeout,
    Http4xx,
    Http5xx,
    Bounced,
    Truncated,
    Garbage,
    Cancelled,
}

impl AttemptResult {
    pub const ALL: [AttemptResult; 10] = [
        AttemptResult::Ok,
        AttemptResult::ConnectFailed,
        AttemptResult::Reset,
        AttemptResult::Timeout,
        AttemptResult::Http4xx,
        AttemptResult::Http5xx,
        AttemptResult::Bounced,
        AttemptResult::Truncated,
        AttemptResult::Garbage,
        AttemptResult::Cancelled,
    ];

    pub fn name(self) -> &'static str {
        match self {
            AttemptResult::Ok => "ok",
            AttemptResult::ConnectFailed => "connect_failed",
            AttemptResult::Reset => "reset",
            AttemptResult::Timeout => "timeout",
            AttemptResult::Http4xx => "http_4xx",
            AttemptResult::Http5xx => "http_5xx",
            AttemptResult::Bounced => "bounced",
            AttemptResult::Truncated => "truncated",
            AttemptResult::Garbage => "garbage",
            AttemptResult::Cancelled => "cancelled",
        }
    }
}

/// Who ended a request (contract §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    Normal,
    Client,
    Backend,
    Gateway,
    Policy,
}

/// In which phase it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Where {
    Request,
    Queue,
    Connect,
    FirstEvent,
    Stream,
    Done,
}

/// The two letters of `HAProxy`'s kind: who ended the request, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term(pub Who, pub Where);

impl Who {
    pub const ALL: [Who; 5] = [Who::Normal, Who::Client, Who::Backend, Who::Gateway, Who::Policy];
}

impl Where {
    pub const ALL: [Where; 6] = [
        Where::Request,
        Where::Queue,
        Where::Connect,
        Where::FirstEvent,
        Where::Stream,
        Where::Done,
    ];
}

impl Term {
    pub fn letters(self) -> [u8; 2] {
        let who = match self.0 {
            Who::Normal => b'-',
            Who::Client => b'C',
            Who::Backend => b'B',
            Who::Gateway => b'G',
            Who::Policy => b'P',
        };
        let place = match self.1 {
            Where::Request => b'R',
            Where::Queue => b'Q',
            Where::Connect => b'C',
            Where::FirstEvent => b'F',
            Where::Stream => b'S',
            Where::Done => b'D',
        };
        [who, place]
    }
}

/// The `outcome` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    ClientError,
    Rejected,
    UpstreamError,
    ClientAbort,
    InternalError,
}

impl Outcome {
    pub const ALL: [Outcome; 6] = [
        Outcome::Ok,
        Outcome::ClientError,
        Outcome::Rejected,
        Outcome::UpstreamError,
        Outcome::ClientAbort,
        Outcome::InternalError,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ClientError => "client_error",
            Outcome::Rejected => "rejected",
            Outcome::UpstreamError => "upstream_error",
            Outcome::ClientAbort => "client_abort",
            Outcome::InternalError => "internal_error",
        }
    }

    /// What an error answer counts as.
    pub fn of_error(code: Code) -> Self {
        match code.status() {
            429 | 503 => Outcome::Rejected,
            400..=499 | 501 => Outcome::ClientError,
            502 | 504 => Outcome::UpstreamError,
            _ => Outcome::InternalError,
        }
    }
}

/// Where a request was served, as far as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Served {
    pub tier: Option<TierIndex>,
    pub backend: Option<BackendIndex>,
}

/// The finished request. Times are from arrival; absent where the phase was not reached.
#[derive(Debug, Clone)]
pub struct Record {
    pub request_id: String,
    pub upstream_id: Option<String>,
    pub served: Served,
    /// The configured name; `None` if there is no such model.
    pub model: Option<String>,
    /// What was sent, or 499 if the client left before anything was.
    pub status: u16,
    pub code: Option<Code>,
    pub term: Term,
    pub outcome: Outcome,
    pub attempts: u32,
    pub queued: Option<Nanos>,
    pub first: Option<Nanos>,
    /// Times between pieces of the answer, without the first.
    pub gaps: Histogram,
    /// What had to be put right in the answer.
    pub rules: RuleCounts,
    pub total: Nanos,
    pub prompt_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// Of the prompt, how many the backend had in its cache.
    pub cached_tokens: Option<u64>,
}

impl Record {
    /// Appends the record as one JSON line (design §4.7). No prompt, answer or key is in it.
    pub fn write_line(&self, unix: f64, tier: &str, backend: &str, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"ts\":{unix:.3},\"level\":\"info\",\"event\":\"request\"");
        let mut text = |name: &str, value: &str| {
            let _ = write!(out, ",\"{name}\":");
            write_string(value, out);
        };
        text("request_id", &self.request_id);
        text("upstream_id", self.upstream_id.as_deref().unwrap_or(""));
        text("tier", tier);
        text("model", self.model.as_deref().unwrap_or("unknown"));
        text("variant", "");
        text("backend", backend);
        text("outcome", self.outcome.name());
        text("code", self.code.map_or("", Code::name));
        let letters = self.term.letters();
        text("term", std::str::from_utf8(&letters).unwrap_or_default());
        let _ = write!(out, ",\"status\":{},\"attempts\":{}", self.status, self.attempts);
        let mut time = |name: &str, span: Option<Nanos>| {
            let _ = match span {
                Some(span) => write!(out, ",\"{name}\":{:.3}", as_ms(span)),
                None => write!(out, ",\"{name}\":null"),
            };
        };
        time("queue_ms", self.queued);
        time("first_ms", self.first);
        time("total_ms", Some(self.total));
        for (name, count) in
            [("prompt_tokens", self.prompt_tokens), ("output_tokens", self.output_tokens)]
        {
            let _ = match count {
                Some(count) => write!(out, ",\"{name}\":{count}"),
                None => write!(out, ",\"{name}\":null"),
            };
        }
        out.extend_from_slice(b",\"key_id\":\"\"}\n");
    }
}
