//! How the answers of an endpoint stream: what the exchange asks of it, whatever the form of the answers.

use std::fmt::Debug;

use super::count::RuleCounts;
use super::event::{Completeness, StreamEvent, StreamFault};
use super::identity::Identity;
use super::whole::BodyFault;
use crate::openai::Usage;

/// What a client has asked for, as far as its answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Choices, or items, that the answer must have.
    pub n: u32,
    /// The client wants the usage chunk.
    pub include_usage: bool,
}

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
