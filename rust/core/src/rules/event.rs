//! What the events of a stream come to.

use crate::openai::BackendFailure;

/// What one event was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// Nothing for the client.
    Swallowed,
    /// No data: it only says that the connection is alive.
    KeepAlive,
    /// Output was appended. `meaningful`: it is (part of) the answer.
    Chunk { meaningful: bool },
    /// The terminal event, such as `[DONE]`.
    Done,
    /// The backend reports a failure in the stream. Boxed: every event is returned as one of these.
    Failure(Box<BackendFailure>),
}

/// The event is not what a stream of this endpoint may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chunk of the answer")]
pub struct StreamFault;

/// How far the choices of an answer have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Every choice that was asked for, and every one that was begun, has finished.
    Complete,
    /// Those that were begun have all finished, but there are only so many.
    Fewer(u32),
    /// A choice has not finished, or none has begun.
    Open,
}
