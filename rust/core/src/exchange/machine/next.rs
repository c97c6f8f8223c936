//! What the exchange says to whoever has fed it.

use crate::exchange::failure::Failure;
use crate::exchange::record::AttemptResult;
use crate::time::Nanos;

/// What becomes of the backend's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamEnd {
    /// The message is complete: back to the pool.
    Reuse,
    /// The message is complete or broken: close.
    Close,
    /// The backend may still be at work: half-close, discard, wait for its end.
    Abort,
}

/// The request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub upstream: UpstreamEnd,
    /// How the attempt is counted.
    pub result: AttemptResult,
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pieces so far: about as many as tokens.
    pub pieces: u64,
    /// When the last one came.
    pub last: Nanos,
}

/// What the caller does after feeding the exchange; output may be there besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Continue,
    /// The attempt failed and the client has nothing yet: retry, or [`super::Exchange::give_up`].
    Failed {
        failure: Failure,
        upstream: UpstreamEnd,
    },
    /// The client has its whole answer, but the backend's message goes on: feed what comes.
    Answered,
    /// The client has its whole answer, and the backend's message is over or to be ended.
    Ended(Ended),
}

/// The whole answer has been given, and the backend's message is over.
pub(super) fn served(reuse: bool) -> Next {
    let upstream = if reuse { UpstreamEnd::Reuse } else { UpstreamEnd::Close };
    Next::Ended(Ended { upstream, result: AttemptResult::Ok })
}
