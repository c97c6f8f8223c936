//! A whole answer: `chat.completion`.

use penstock_wire::json::{JsonError, Kind, Reader, Span, Value};

use super::envelope::{Field, Part};

/// One choice of a whole answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeChoice {
    pub message: Option<Span>,
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
    /// `None` if there is no `choices` array: then this is no completion.
    pub choices: Option<Vec<WholeChoice>>,
}

impl Completion {
    /// Reads a body, which must be valid UTF-8 and a JSON object.
    pub fn read(text: &[u8]) -> Result<Self, JsonError> {
        let mut parts = Vec::with_capacity(12);
        let mut choices = None;
        let mut reader = Reader::new(text);
        let object = reader.object(|reader, key| {
            let field = Field::of(&key);
            let value = if field == Field::Choices && reader.kind()? == Kind::Array {
                let mut found = Vec::with_capacity(1);
                let span = reader.array(|reader, _| {
                    found.push(WholeChoice::read(reader)?);
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
    fn read(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let text = reader.text();
        let mut choice = WholeChoice::default();
        reader.object(|reader, key| {
            if key.is("message") && reader.kind()? == Kind::Object {
                // A second message replaces the first with all that was read of it.
                choice.tool_calls = None;
                let span = reader.object(|reader, key| {
                    let value = reader.value()?;
                    if key.is("tool_calls") && value.kind == Kind::Array {
                        choice.tool_calls = Some(value.span);
                    }
                    Ok::<(), JsonError>(())
                })?;
                choice.message = Some(span);
                return Ok(());
            }
            let value = reader.value()?;
            match &*key.name() {
                b"finish_reason" if value.kind == Kind::String && !value.is_empty(text) => {
                    choice.finish_reason = Some(value.span);
                }
                b"logprobs" if value.kind != Kind::Null => choice.logprobs = Some(value.span),
                _ => {}
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(choice)
    }
}
