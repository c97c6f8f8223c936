//! How one attempt at a backend can fail, and what follows from it.

use penstock_admission::Fault;

use super::record::{AttemptResult, Term, Where, Who};
use crate::openai::{ApiError, Code};

/// What may be done after a failure before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// Anywhere and free, on a fresh connection: a kept-alive connection had died while it was idle.
    Stale,
    /// Anywhere and free: the request has not begun.
    NotStarted,
    /// On another backend; no byte of the request was written.
    OtherBackend,
    /// On another backend, if the tier's budget allows.
    Budgeted,
    /// As `Budgeted`, but only where answers are expected at once.
    BudgetedIfInstant,
    /// Back into the queue: the backend had no room.
    Bounce,
}

/// How far an attempt had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of a response has come.
    Nothing,
    /// Part of a response, but nothing for the client.
    Something,
    /// The client has part of the answer.
    Begun,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens there.
    ConnectRefused {
        detail: String,
    },
    /// Unreachable for anything else, or no address.
    Connect {
        detail: String,
    },
    ConnectTimeout,
    Tls {
        detail: String,
    },
    /// The connection broke. `stale`: it had carried a request before, and its backend may have closed
    /// it before it got this one.
    Reset {
        progress: Progress,
        stale: bool,
    },
    /// The stream or body ended before the answer did.
    Truncated {
        progress: Progress,
    },
    Garbage {
        detail: &'static str,
    },
    TooLarge {
        limit: usize,
    },
    /// No meaningful event in time.
    FirstEventTimeout,
    Stalled,
    /// The request's total time is over.
    Deadline {
        progress: Progress,
    },
    /// Fewer choices than asked for.
    IgnoredChoices {
        asked: u32,
        got: u32,
    },
    /// The backend reported a fault of its own.
    Fault {
        error: ApiError,
        status: u16,
    },
    /// A proxy in front of the backend has answered in its stead.
    Unavailable {
        error: ApiError,
        status: u16,
    },
    /// The backend refused the request for the client's reasons.
    Refused {
        error: ApiError,
    },
    /// The backend has no room.
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
            Failure::Full { .. } => Retry::Bounce,
            _ => Retry::Never,
        }
    }

    /// Why the request did not get through to its backend, if that is what happened.
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

    /// Whether the backend itself has said so: it is there, and at work.
    pub fn is_answer(&self) -> bool {
        match self {
            // A 504 is a proxy's word about a server that is silent (RFC 9110 §15.6.5).
            Failure::Fault { status, .. } => *status != 504,
            Failure::Refused { .. }
            | Failure::Full { .. }
            | Failure::Garbage { .. }
            | Failure::TooLarge { .. }
            | Failure::IgnoredChoices { .. } => true,
            _ => false,
        }
    }

    /// Whether the backend broke the connection off under the request, which may be the cause.
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

    /// How the attempt is counted.
    pub fn attempt_result(&self) -> AttemptResult {
        match self {
            Failure::ConnectRefused { .. }
            | Failure::Connect { .. }
            | Failure::ConnectTimeout
            | Failure::Tls { .. } => AttemptResult::ConnectFailed,
            Failure::Reset { .. } => AttemptResult::Reset,
            Failure::Truncated { .. } => AttemptResult::Truncated,
            // A redirect or another odd status is what the contract has no word for.
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
