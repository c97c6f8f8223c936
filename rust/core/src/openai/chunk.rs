//! One chunk of a streamed answer: the positions of its members.

use penstock_wire::json::{JsonError, Kind, Reader, Span, Value};

use super::choice::Choice;
use super::envelope::{Field, Part};

/// A view of one chunk. It is reused, so that reading a chunk allocates nothing.
#[derive(Debug)]
pub struct Chunk {
    /// The whole object, braces included.
    pub object: Span,
    pub parts: Vec<Part>,
    pub choices: Vec<Choice>,
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk { object: Span { start: 0, end: 0 }, parts: Vec::new(), choices: Vec::new() }
    }
}

impl Chunk {
    /// Reads an event's data, which must be valid UTF-8. `choice` reads one choice, given its position.
    pub fn read(
        &mut self,
        text: &[u8],
        choice: impl Fn(&mut Reader<'_>, usize) -> Result<Choice, JsonError>,
    ) -> Result<(), JsonError> {
        self.parts.clear();
        self.choices.clear();
        let mut reader = Reader::new(text);
        self.object = reader.object(|reader, key| {
            let field = Field::of(&key);
            let value = if field == Field::Choices && reader.kind()? == Kind::Array {
                self.choices.clear();
                let span = reader.array(|reader, position| {
                    self.choices.push(choice(reader, position)?);
                    Ok::<(), JsonError>(())
                })?;
                Value { kind: Kind::Array, span }
            } else {
                reader.value()?
            };
            self.parts.push(Part { field, start: key.start, value });
            Ok::<(), JsonError>(())
        })?;
        reader.end()
    }
}
