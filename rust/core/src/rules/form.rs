//! What differs between endpoints whose answers are made of choices.

use std::fmt::Debug;

use penstock_wire::json::{Edits, JsonError, Reader, Span};

use super::count::RuleCounts;
use super::template::FastPath;
use crate::openai::{Choice, WholeChoice};

/// The form of an endpoint's chunks and whole answers. It is known at compile time, so that no event costs a
/// call through a table beyond the one that leads to its stream.
pub trait ChoiceForm: Debug + Send + Sync + 'static {
    /// The `object` of a chunk.
    const CHUNK: &'static str;
    /// The `object` of a whole answer.
    const WHOLE: &'static str;
    /// How a body that is no such answer is called in an error's message.
    const NO_ANSWER: &'static str;
    /// One choice of a whole answer, while the chunks that make it still come.
    type Gathered: Gathered;

    /// Reads a choice of a chunk. `position` stands in for a missing `index`.
    fn read(reader: &mut Reader<'_>, position: usize) -> Result<Choice, JsonError>;

    /// Reads a choice of a whole answer.
    fn read_whole(reader: &mut Reader<'_>, position: usize) -> Result<WholeChoice, JsonError>;

    /// Applies the rules of one choice of a chunk, in their order. `is_first`: nothing of it has come before.
    fn edit(choice: &Choice, is_first: bool, data: &[u8], edits: &mut ChunkEdits) -> FastPath;

    /// P14: appends the choice of a whole answer as a chunk has it. `position`: its place in the answer.
    fn write_as_chunk(choice: &WholeChoice, position: usize, text: &[u8], out: &mut Vec<u8>);
}

/// What the rules do to one chunk; kept and reused.
#[derive(Debug, Default)]
pub struct ChunkEdits {
    pub edits: Edits,
    /// Choices whose finish reason is to follow in a chunk of its own: index, reason.
    pub apart: Vec<(u32, Span)>,
    /// What the rules had to do, in all chunks so far.
    pub counts: RuleCounts,
}

impl ChunkEdits {
    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.apart.clear();
    }
}

/// An answer has more parts than any real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch;

/// One choice of a whole answer that is put together from chunks.
pub trait Gathered: Debug + Default {
    /// Adds a choice of a chunk, which is `text`; `size` counts the bytes that are held.
    fn add(&mut self, choice: &Choice, text: &[u8], size: &mut usize) -> Result<(), TooMuch>;

    /// Appends it as a whole answer has it.
    fn write(&self, index: u32, out: &mut Vec<u8>);
}
