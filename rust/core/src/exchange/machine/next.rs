//! What the exchange tells its caller to do next.

use crate::exchange::failure::Failure;
use crate::exchange::outcome::AttemptResult;
use crate::time::Nanos;

/// What to do with the backend's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamEnd {
    /// The message is complete: return the connection to the pool.
    Reuse,
    /// The message is complete or broken: close the connection.
    Close,
    /// The backend may still be generating: half-close, discard what arrives, wait until it closes.
    Abort,
}

/// The request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub upstream: UpstreamEnd,
    /// How the attempt is counted.
    pub result: AttemptResult,
}

/// The progress of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pieces so far: roughly one per token.
    pub pieces: u64,
    /// When the last one arrived.
    pub last: Nanos,
}

/// What the caller does after each call. There may also be output to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Continue,
    /// The attempt failed and the client has nothing yet: retry, or [`super::Exchange::give_up`].
    Failed {
        failure: Failure,
        upstream: UpstreamEnd,
    },
    /// The client has its whole answer, but the backend's message has not ended: keep feeding what arrives.
    Answered,
    /// The request is finished on both sides; `upstream` says what becomes of the backend's connection.
    Ended(Ended),
}

/// The whole answer was sent, and the backend's message has ended.
pub(super) fn ended_ok(reuse: bool) -> Next {
    let upstream = if reuse { UpstreamEnd::Reuse } else { UpstreamEnd::Close };
    Next::Ended(Ended { upstream, result: AttemptResult::Ok })
}
