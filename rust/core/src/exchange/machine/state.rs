//! How far an exchange is, and how it decodes the answer.

use crate::exchange::attempt::Attempt;
use crate::rules::{Assembly, StreamRules};

#[derive(Debug)]
pub(super) enum ExchangeState {
    /// In the queue, or connecting.
    Waiting,
    /// Boxed: it is moved out of the state and back with each piece of the response.
    Attempting(Box<Attempt>),
    /// The client has its whole answer; only the end of the backend's message is awaited.
    AwaitingEnd(Box<Attempt>),
    Over,
}

/// How the answer of an attempt is decoded.
#[derive(Debug)]
pub(super) enum AnswerMode {
    /// A JSON answer to a request without a stream.
    Whole,
    /// A stream for a client that asked for one.
    Stream(Box<dyn StreamRules>),
    /// A stream that is assembled into a whole answer: the client gets nothing before its end.
    Assembled(Box<dyn Assembly>),
}
