//! How one attempt at a backend can fail: whether it is retried, and which error the client gets.

use penstock_admission::Fault;

use super::outcome::AttemptResult;
use super::termination::{Term, Where, Who};
use crate::openai::{ApiError, Code};

/// Whether a failure before the first event may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// On any backend, outside the budget, on a new connection: the reused one had been closed while it was idle.
    Stale,
    /// On any backend, outside the budget: the backend has not started on the request.
    NotStarted,
    /// On another backend; no byte of the request was written.
    OtherBackend,
    /// On another backend, within the tier's retry budget.
    Budgeted,
    /// As `Budgeted`, but only in tiers whose answers start at once: a thinking model may simply be slow.
    BudgetedIfInstant,
    /// Back into the queue: the backend was full.
    Pushback,
}

/// How far an attempt had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No byte of a response has arrived.
    Nothing,
    /// Part of a response has arrived, but the client has received nothing.
    Something,
    /// The client has received part of the answer.
    Begun,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The connection was refused: nothing listens at that port.
    ConnectRefused {
        detail: String,
    },
    /// Unreachable for another reason, or the name does not resolve.
    Connect {
        detail: String,
    },
    ConnectTimeout,
    Tls {
        detail: String,
    },
    /// The connection was reset. `stale`: it is a reused connection that the backend may have closed before this
    /// request arrived.
    Reset {
        progress: Progress,
        stale: bool,
    },
    /// The stream or body ended before the answer was complete.
    Truncated {
        progress: Progress,
    },
    Garbage {
        detail: &'static str,
    },
    TooLarge {
        limit: usize,
    },
    /// No part of the answer arrived in time.
    FirstEventTimeout,
    Stalled,
    /// The request's total time-out has passed.
    Deadline {
        progress: Progress,
    },
    /// Fewer choices than asked for.
    IgnoredChoices {
        asked: u32,
        got: u32,
    },
    /// The backend reported an error of its own.
    Fault {
        error: ApiError,
        status: u16,
    },
    /// A proxy in front of the backend answered instead of it.
    Unavailable {
        error: ApiError,
        status: u16,
    },
    /// The backend refused the request, and the client is at fault.
    Refused {
        error: ApiError,
    },
    /// The backend is full.
    Full {
        retry_after: Option<u32>,
    },
    /// The backend is still loading its model.
    Loading,
    /// A bug of ours.
    Internal,
}

impl Failure {
    pub fn retry(&self) -> Retry {
        match self {
            Failure::ConnectRefused { .. }
            | Failure::Connect { .. }
            | Failure::ConnectTimeout
            | Failure::Loading => Retry::NotStarted,
            Failure::Tls { .. } => Retry::OtherBackend,
            Failure::Reset { progress: Progress::Nothing, stale: true } => Retry::Stale,
            Failure::Reset { progress: Progress::Nothing | Progress::Something, .. }
            | Failure::Truncated { progress: Progress::Nothing | Progress::Something }
            | Failure::Fault { status: 502..=504, .. }
            | Failure::Unavailable { .. } => Retry::Budgeted,
            Failure::FirstEventTimeout => Retry::BudgetedIfInstant,
            Failure::Full { .. } => Retry::Pushback,
            _ => Retry::Never,
        }
    }

    /// Why the request did not reach its backend, if it did not.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Failure::ConnectRefused { .. } => Some(Fault::Refused),
            Failure::Connect { .. } | Failure::ConnectTimeout | Failure::Tls { .. } => {
                Some(Fault::Unreachable)
            }
            Failure::Reset { progress: Progress::Nothing, stale: false } => Some(Fault::Died),
            Failure::Unavailable { .. } => Some(Fault::Unavailable),
            _ => None,
        }
    }

    /// Whether the failure is an answer of the backend itself, which proves that it is reachable and working.
    pub fn is_answer(&self) -> bool {
        match self {
            // A 504 is a proxy's statement that the server did not answer (RFC 9110 §15.6.5).
            Failure::Fault { status, .. } => *status != 504,
            Failure::Refused { .. }
            | Failure::Full { .. }
            | Failure::Garbage { .. }
            | Failure::TooLarge { .. }
            | Failure::IgnoredChoices { .. } => true,
            _ => false,
        }
    }

    /// Whether the backend dropped the connection during the request. The request itself may have crashed it.
    pub fn breaks_off(&self) -> bool {
        matches!(self, Failure::Reset { progress: Progress::Nothing | Progress::Something, .. })
    }

    pub fn error(&self) -> ApiError {
        let error = |code, message: &str| ApiError::new(code, message);
        match self {
            Failure::ConnectRefused { detail } | Failure::Connect { detail } => {
                let message = format!("the model server cannot be reached: {detail}");
                ApiError::new(Code::UpstreamConnect, message)
            }
            Failure::ConnectTimeout => {
                error(Code::UpstreamConnect, "the model server did not accept a connection in time")
            }
            Failure::Tls { detail } => {
                let message = format!("no trusted connection to the model server: {detail}");
                ApiError::new(Code::UpstreamTls, message)
            }
            Failure::Reset { .. } => {
                error(Code::UpstreamReset, "the model server broke the connection off")
            }
            Failure::Truncated { .. } => error(
                Code::UpstreamTruncated,
                "the model server's answer ended before it was complete",
            ),
            Failure::Garbage { detail } => {
                let message =
                    format!("the model server sent something that is no answer: {detail}");
                ApiError::new(Code::UpstreamGarbage, message)
            }
            Failure::TooLarge { limit } => {
                let message = format!("the model server's answer is larger than {limit} bytes");
                ApiError::new(Code::UpstreamTooLarge, message)
            }
            Failure::FirstEventTimeout => {
                error(Code::UpstreamTimeout, "the model server did not begin to answer in time")
            }
            Failure::Stalled => {
                error(Code::UpstreamStalled, "the model server stopped in the middle of its answer")
            }
            Failure::Deadline { .. } => {
                error(Code::DeadlineExceeded, "the answer was not complete within the allowed time")
            }
            Failure::IgnoredChoices { asked, got } => {
                let message =
                    format!("the model server gave {got} choice(s) where {asked} were asked for");
                ApiError::new(Code::UpstreamIgnoredParameter, message).param("n")
            }
            Failure::Fault { error, .. }
            | Failure::Unavailable { error, .. }
            | Failure::Refused { error } => error.clone(),
            Failure::Full { retry_after } => {
                let wait = u64::from(retry_after.unwrap_or(1).max(1)) * 1000;
                error(Code::UpstreamOverloaded, "the model server is overloaded")
                    .retry_after_ms(wait)
            }
            Failure::Loading => {
                error(Code::NoBackend, "the model server is still loading its model")
                    .retry_after_ms(1000)
            }
            Failure::Internal => error(Code::InternalError, "internal error"),
        }
    }

    /// The `result` label of the attempt in the metrics.
    pub fn attempt_result(&self) -> AttemptResult {
        match self {
            Failure::ConnectRefused { .. }
            | Failure::Connect { .. }
            | Failure::ConnectTimeout
            | Failure::Tls { .. } => AttemptResult::ConnectFailed,
            Failure::Reset { .. } => AttemptResult::Reset,
            Failure::Truncated { .. } => AttemptResult::Truncated,
            // Redirects and other unexpected statuses have no label of their own.
            Failure::Garbage { .. }
            | Failure::TooLarge { .. }
            | Failure::IgnoredChoices { .. }
            | Failure::Fault { status: 0..400, .. } => AttemptResult::Garbage,
            Failure::FirstEventTimeout | Failure::Stalled | Failure::Deadline { .. } => {
                AttemptResult::Timeout
            }
            Failure::Refused { .. } | Failure::Fault { status: 400..500, .. } => {
                AttemptResult::Http4xx
            }
            Failure::Fault { .. } | Failure::Unavailable { .. } | Failure::Loading => {
                AttemptResult::Http5xx
            }
            Failure::Full { .. } => AttemptResult::Bounced,
            Failure::Internal => AttemptResult::Cancelled,
        }
    }

    /// Who ended the request if this failure is final. `begun`: the client has part of the answer.
    pub fn term(&self, begun: bool) -> Term {
        let phase = if begun { Where::Stream } else { Where::FirstEvent };
        match self {
            Failure::ConnectTimeout => Term(Who::Gateway, Where::Connect),
            Failure::ConnectRefused { .. } | Failure::Connect { .. } | Failure::Tls { .. } => {
                Term(Who::Backend, Where::Connect)
            }
            Failure::FirstEventTimeout
            | Failure::Stalled
            | Failure::Deadline { .. }
            | Failure::TooLarge { .. }
            | Failure::Internal => Term(Who::Gateway, phase),
            _ => Term(Who::Backend, phase),
        }
    }
}
