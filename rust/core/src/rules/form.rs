//! The differences between endpoints whose answers consist of choices.

use std::fmt::Debug;

use penstock_wire::json::{Edits, JsonError, Reader, Span};

use super::count::RuleCounts;
use super::template::FastPath;
use crate::openai::{Choice, WholeChoice};

/// The form of an endpoint's chunks and whole answers. It is a type parameter, so that an event costs only one
/// dynamic call: the one to its stream.
pub trait ChoiceForm: Debug + Send + Sync + 'static {
    /// The `object` of a chunk.
    const CHUNK: &'static str;
    /// The `object` of a whole answer.
    const WHOLE: &'static str;
    /// The error message for a body that is not such an answer.
    const NO_ANSWER: &'static str;
    /// One choice of a whole answer while it is assembled from chunks.
    type Gathered: Gathered;

    /// Reads a choice of a chunk. `position` is used as the index if there is none.
    fn read(reader: &mut Reader<'_>, position: usize) -> Result<Choice, JsonError>;

    /// Reads a choice of a whole answer.
    fn read_whole(reader: &mut Reader<'_>, position: usize) -> Result<WholeChoice, JsonError>;

    /// Applies the endpoint's rules to one choice of a chunk. `is_first`: it is the choice's first chunk.
    fn edit(choice: &Choice, is_first: bool, data: &[u8], edits: &mut ChunkEdits) -> FastPath;

    /// P14: appends a choice of a whole answer in the form of a chunk's choice. `position`: its place in the answer.
    fn write_as_chunk(choice: &WholeChoice, position: usize, text: &[u8], out: &mut Vec<u8>);
}

/// The changes that the rules make to one chunk; reused for the next one.
#[derive(Debug, Default)]
pub struct ChunkEdits {
    pub edits: Edits,
    /// Choices whose finish reason follows in an extra chunk: index and reason.
    pub split: Vec<(u32, Span)>,
    /// How often each rule changed something in this stream.
    pub counts: RuleCounts,
}

impl ChunkEdits {
    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.split.clear();
    }
}

/// The answer has implausibly many parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

/// One choice of a whole answer that is assembled from chunks.
pub trait Gathered: Debug + Default {
    /// Adds a choice of the chunk `text`; `size` counts the bytes that are kept.
    fn add(&mut self, choice: &Choice, text: &[u8], size: &mut usize) -> Result<(), TooMuch>;

    /// Appends it in the form of a whole answer's choice.
    fn write(&self, index: u32, out: &mut Vec<u8>);
}
