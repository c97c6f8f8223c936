//! How requests and attempts are counted: the labels `outcome` and `result`.

use crate::openai::Code;

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
