//! The record of a finished request: the source of its access log line and its metrics.

use penstock_admission::Histogram;
use penstock_wire::decimal::{write_decimal, write_ms, write_three};
use penstock_wire::json::write_string;

use crate::openai::Code;
use crate::routing::{Addressee, BackendIndex, ModelIndex, Table, TierIndex};
use crate::rules::RuleCounts;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// The `result` label of an attempt at a backend.
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

/// Who ended a request.
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

/// The termination state of a request, as in `HAProxy`'s log: who ended it, and in which phase.
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

    /// The outcome of a request that ended with this error.
    pub fn of_error(code: Code) -> Self {
        match code.status() {
            429 | 503 => Outcome::Rejected,
            400..=499 | 501 => Outcome::ClientError,
            502 | 504 => Outcome::UpstreamError,
            _ => Outcome::InternalError,
        }
    }
}

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
    pub fn to(addressee: Option<Addressee>) -> Self {
        Served {
            tier: addressee.map(|to| to.tier),
            model: addressee.map(|to| to.model),
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

    /// Appends the access log line: one line of JSON, without prompt, answer or API key. `unix`: nanoseconds
    /// since 1970.
    pub fn write_line(&self, unix: Nanos, table: &Table, out: &mut Vec<u8>) {
        let Served { tier, model, backend } = self.served;
        let tier = tier.map_or("", |at| &table.tiers[usize::from(at)].name);
        let model = model.map_or("unknown", |at| &table.models[usize::from(at)]);
        let backend = backend.map_or("", |at| &table.backends[usize::from(at)].name);
        let letters = self.term.letters();
        let term = std::str::from_utf8(&letters).unwrap_or_default();
        out.extend_from_slice(b"{\"ts\":");
        write_decimal(unix / SECOND, out);
        out.push(b'.');
        write_three(unix % SECOND / MILLISECOND, out);
        // Ids, labels and numbers contain no character that JSON has to escape.
        let begin = b",\"level\":\"info\",\"event\":\"request\",\"request_id\":\"";
        write_word(begin, &self.request_id, out);
        write_word(b"\",\"upstream_id\":\"", self.upstream_id.as_deref().unwrap_or(""), out);
        write_name(b"\",\"tier\":", tier, out);
        write_name(b",\"model\":", model, out);
        write_name(b",\"variant\":\"\",\"backend\":", backend, out);
        write_word(b",\"outcome\":\"", self.outcome.name(), out);
        write_word(b"\",\"code\":\"", self.code.map_or("", Code::name), out);
        write_word(b"\",\"term\":\"", term, out);
        write_number(b"\",\"status\":", Some(u64::from(self.status)), write_decimal, out);
        write_number(b",\"attempts\":", Some(u64::from(self.attempts)), write_decimal, out);
        write_number(b",\"queue_ms\":", self.queued, write_ms, out);
        write_number(b",\"first_ms\":", self.first, write_ms, out);
        write_number(b",\"total_ms\":", Some(self.total), write_ms, out);
        write_number(b",\"prompt_tokens\":", self.prompt_tokens, write_decimal, out);
        write_number(b",\"output_tokens\":", self.output_tokens, write_decimal, out);
        out.extend_from_slice(b",\"key_id\":\"\"}\n");
    }
}

/// Appends a name from the configuration, escaped. `key`: everything before the value.
#[inline]
fn write_name(key: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    write_string(value, out);
}

/// Appends a text that needs no escaping. `key` ends with the opening quote; the next key starts with the closing one.
#[inline]
fn write_word(key: &[u8], value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key);
    out.extend_from_slice(value.as_bytes());
}

#[inline]
fn write_number(
    key: &[u8],
    number: Option<u64>,
    write: impl FnOnce(u64, &mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(key);
    match number {
        Some(number) => write(number, out),
        None => out.extend_from_slice(b"null"),
    }
}
