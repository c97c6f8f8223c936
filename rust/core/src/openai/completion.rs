//! A whole answer that consists of choices. Each endpoint reads a choice in its own way.

use penstock_wire::json::{JsonError, Kind, Reader, Span, Value};

use super::envelope::{Field, Part};

/// One choice of a whole answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeChoice {
    /// The answer's own `index`, else the position.
    pub index: u32,
    /// The message object, or the text with its quotes.
    pub content: Option<Span>,
    /// The reason's string, quotes included; `None` where it is missing, null or "".
    pub finish_reason: Option<Span>,
    pub logprobs: Option<Span>,
    /// The range of `message.tool_calls`, if it is an array.
    pub tool_calls: Option<Span>,
}

#[derive(Debug)]
pub struct Completion {
    pub object: Span,
    pub parts: Vec<Part>,
    /// `None` if there is no `choices` array; the body is then not a completion.
    pub choices: Option<Vec<WholeChoice>>,
}

impl Completion {
    /// Reads a body, which must be valid UTF-8 and a JSON object. `choice` reads one choice, given its position.
    pub fn read(
        text: &[u8],
        choice: impl Fn(&mut Reader<'_>, usize) -> Result<WholeChoice, JsonError>,
    ) -> Result<Self, JsonError> {
        let mut parts = Vec::with_capacity(12);
        let mut choices = None;
        let mut reader = Reader::new(text);
        let object = reader.object(|reader, key| {
            let field = Field::of(&key);
            let value = if field == Field::Choices && reader.kind()? == Kind::Array {
                let mut found = Vec::with_capacity(1);
                let span = reader.array(|reader, position| {
                    found.push(choice(reader, position)?);
                    Ok::<(), JsonError>(())
                })?;
                choices = Some(found);
                Value { kind: Kind::Array, span }
            } else {
                reader.value()?
            };
            parts.push(Part { field, start: key.start, value });
            Ok::<(), JsonError>(())
        })?;
        reader.end()?;
        Ok(Completion { object, parts, choices })
    }
}

impl WholeChoice {
    /// A choice before any member was read. `position` is used as the index if there is none.
    pub fn at(position: usize) -> Self {
        WholeChoice { index: position as u32, ..WholeChoice::default() }
    }

    /// Takes over a member that choices of all endpoints have.
    #[inline]
    pub fn read_common(&mut self, name: &[u8], value: Value, text: &[u8]) {
        match name {
            b"index" => {
                if let Some(index) = value.as_u64(text) {
                    self.index = u32::try_from(index).unwrap_or(u32::MAX);
                }
            }
            b"finish_reason" if value.kind == Kind::String && !value.is_empty(text) => {
                self.finish_reason = Some(value.span);
            }
            b"logprobs" if value.kind != Kind::Null => self.logprobs = Some(value.span),
            _ => {}
        }
    }
}
