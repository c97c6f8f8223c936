//! The result of one event, and the completeness of a stream.

use crate::openai::BackendFailure;

/// The result of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// Nothing for the client.
    Swallowed,
    /// A comment or an event without data, sent to keep the connection alive.
    KeepAlive,
    /// Output was appended. `meaningful`: it contains part of the answer.
    Chunk { meaningful: bool },
    /// The terminal event, such as `[DONE]`.
    Done,
    /// The backend reports a failure in the stream. Boxed to keep the enum small.
    Failure(Box<BackendFailure>),
}

/// The event is not valid in a stream of this endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chunk of the answer")]
pub struct StreamFault;

/// Whether all choices of an answer have finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// Every choice that was asked for or begun has finished.
    Complete,
    /// All choices that were begun have finished, but there are only this many.
    Fewer(u32),
    /// A choice has not finished, or none has begun.
    Open,
}
