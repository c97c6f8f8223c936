//! How the answers of an endpoint stream: what the exchange asks of it, whatever the form of the answers.

use std::fmt::Debug;

use super::assembler::Assembler;
use super::count::RuleCounts;
use super::form::ChoiceForm;
use super::identity::Identity;
use super::stream::StreamNormaliser;
use super::whole::{BodyFault, stream_of};
use crate::openai::{BackendFailure, Usage};

/// What a client has asked for, as far as its answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Choices, or items, that the answer must have.
    pub n: u32,
    /// The client wants the usage chunk.
    pub include_usage: bool,
}

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

/// The rules of an endpoint's streams.
pub trait Streaming: Debug + Send + Sync {
    /// Those of one stream.
    fn rules(&self, identity: Identity, asked: Asked) -> Box<dyn StreamRules>;

    /// One stream of which a whole answer is made.
    fn assembly(&self, identity: Identity, asked: Asked) -> Box<dyn Assembly>;

    /// P14: the events of a whole answer where a stream was asked for, each given to `emit` in order. They
    /// still go through the stream's rules.
    fn stream_of(
        &self,
        text: &[u8],
        asked: Asked,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BodyFault>;
}

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

/// One stream on its way to its client.
pub trait StreamRules: Debug {
    /// Takes the data of one event and appends what the client gets of it, as strict SSE.
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<StreamEvent, StreamFault>;

    fn completeness(&self) -> Completeness;

    /// Appends the end of the stream with its terminal event. Only to be called once it is complete.
    fn finish(&self, out: &mut Vec<u8>);

    fn counts(&self) -> RuleCounts;

    /// The token counts, if the backend has reported any.
    fn usage(&self) -> Option<Usage>;
}

/// One stream of which a whole answer is made.
pub trait Assembly: Debug {
    /// Takes the data of one event. [`StreamEvent::Chunk`]: something was added.
    fn event(&mut self, data: &[u8]) -> Result<StreamEvent, StreamFault>;

    /// Bytes of the answer that are held, about as many as the answer will have.
    fn size(&self) -> usize;

    fn completeness(&self) -> Completeness;

    /// Appends the whole answer. Only to be called once it is complete.
    fn write(&self, out: &mut Vec<u8>);

    /// The token counts, if the backend has reported any.
    fn usage(&self) -> Option<Usage>;
}

impl<F: ChoiceForm> Streaming for F {
    fn rules(&self, identity: Identity, asked: Asked) -> Box<dyn StreamRules> {
        Box::new(StreamNormaliser::<F>::new(identity, asked))
    }

    fn assembly(&self, identity: Identity, asked: Asked) -> Box<dyn Assembly> {
        Box::new(Assembler::<F>::new(identity, asked.n))
    }

    fn stream_of(
        &self,
        text: &[u8],
        asked: Asked,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BodyFault> {
        stream_of::<F>(text, asked.n, emit)
    }
}
