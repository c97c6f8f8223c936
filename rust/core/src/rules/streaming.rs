//! The traits through which the exchange handles streams, independent of the form of the answers.

use std::fmt::Debug;

use super::count::RuleCounts;
use super::event::{Completeness, StreamEvent, StreamFault};
use super::id_and_model::IdAndModel;
use super::whole::BodyFault;
use crate::openai::Usage;

/// What the client asked for that determines the shape of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Choices (or embeddings) that the answer must have.
    pub n: u32,
    /// The client wants the usage chunk.
    pub include_usage: bool,
}

/// An endpoint whose answers can be streamed.
pub trait Streaming: Debug + Send + Sync {
    /// The rules for one stream that is passed on to the client.
    fn rules(&self, id_and_model: IdAndModel, asked: Asked) -> Box<dyn StreamRules>;

    /// The assembly of one stream into a whole answer.
    fn assembly(&self, id_and_model: IdAndModel, asked: Asked) -> Box<dyn Assembly>;

    /// P14: converts a whole answer to events and calls `emit` with the data of each, in order. The stream's
    /// rules must still be applied to them.
    fn stream_of(
        &self,
        text: &[u8],
        asked: Asked,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BodyFault>;
}

/// One stream that is passed on to the client.
pub trait StreamRules: Debug {
    /// Takes the data of one event and appends the event for the client, as strict SSE.
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<StreamEvent, StreamFault>;

    fn completeness(&self) -> Completeness;

    /// Appends the end of the stream with its terminal event. Call it only if the stream is complete.
    fn finish(&self, out: &mut Vec<u8>);

    fn counts(&self) -> RuleCounts;

    /// The token counts, if the backend has reported any.
    fn usage(&self) -> Option<Usage>;
}

/// One stream that is assembled into a whole answer.
pub trait Assembly: Debug {
    /// Takes the data of one event. [`StreamEvent::Chunk`]: something was added.
    fn event(&mut self, data: &[u8]) -> Result<StreamEvent, StreamFault>;

    /// Bytes collected so far; approximately the size of the answer.
    fn size(&self) -> usize;

    fn completeness(&self) -> Completeness;

    /// Appends the whole answer. Call it only if the stream is complete.
    fn write(&self, out: &mut Vec<u8>);

    /// The token counts, if the backend has reported any.
    fn usage(&self) -> Option<Usage>;
}
