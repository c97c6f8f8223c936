//! Reads the choices of chunks (deltas) and of whole answers (messages).

use std::io::Write;

use penstock_wire::json::{Edits, JsonError, Kind, Reader, Span};

use crate::openai::{Choice, Delta, Role, WholeChoice};

/// The members of a delta that are part of the answer.
const ANSWER: [&str; 6] =
    ["content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"];

/// Reads a choice of a chunk. `position` is used as the index if there is none.
pub(super) fn read(reader: &mut Reader<'_>, position: usize) -> Result<Choice, JsonError> {
    let text = reader.text();
    let mut choice = Choice::at(position);
    choice.span = reader.object(|reader, key| {
        if key.is("delta") && reader.kind()? == Kind::Object {
            return read_delta(&mut choice, reader);
        }
        let value = reader.value()?;
        match &*key.name() {
            b"delta" => choice.delta = Delta::Odd(value.span),
            name => choice.read_common(name, value, text),
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(choice)
}

fn read_delta(choice: &mut Choice, reader: &mut Reader<'_>) -> Result<(), JsonError> {
    let text = reader.text();
    // A duplicate key: the last delta counts.
    choice.role = Role::Absent;
    choice.has_more_than_role = false;
    choice.has_output = false;
    choice.last_text = None;
    choice.has_content = false;
    let span = reader.object(|reader, key| {
        let value = reader.value()?;
        if key.is("role") {
            choice.role = if value.kind == Kind::String {
                Role::Given(key.start, value.span)
            } else {
                Role::Odd(key.start, value.span)
            };
            return Ok(());
        }
        choice.has_more_than_role = true;
        if !value.is_empty(text) {
            choice.has_content = true;
            if ANSWER.iter().any(|name| key.is(name)) {
                choice.has_output = true;
                if value.kind == Kind::String {
                    choice.last_text = Some(value.span);
                }
            }
        }
        Ok::<(), JsonError>(())
    })?;
    choice.delta = Delta::Object(span);
    Ok(())
}

/// Reads a choice of a whole answer.
pub(super) fn read_whole(
    reader: &mut Reader<'_>,
    position: usize,
) -> Result<WholeChoice, JsonError> {
    let text = reader.text();
    let mut choice = WholeChoice::at(position);
    reader.object(|reader, key| {
        if key.is("message") && reader.kind()? == Kind::Object {
            // A duplicate key: the last message counts.
            choice.tool_calls = None;
            let span = reader.object(|reader, key| {
                let value = reader.value()?;
                if key.is("tool_calls") && value.kind == Kind::Array {
                    choice.tool_calls = Some(value.span);
                }
                Ok::<(), JsonError>(())
            })?;
            choice.content = Some(span);
            return Ok(());
        }
        let value = reader.value()?;
        choice.read_common(&key.name(), value, text);
        Ok::<(), JsonError>(())
    })?;
    Ok(choice)
}

/// Appends a choice of a whole answer in the form of a chunk's choice.
pub(super) fn write(choice: &WholeChoice, position: usize, text: &[u8], out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{{\"index\":{position},\"delta\":");
    if let Some(message) = choice.content {
        write_delta(text, message, choice.tool_calls, out);
    }
    if let Some(logprobs) = choice.logprobs {
        out.extend_from_slice(b",\"logprobs\":");
        out.extend_from_slice(logprobs.of(text));
    }
    if let Some(reason) = choice.finish_reason {
        out.extend_from_slice(b",\"finish_reason\":");
        out.extend_from_slice(reason.of(text));
    }
    out.push(b'}');
}

/// Appends a message as a delta: the same object, but with an `index` in each tool call.
fn write_delta(text: &[u8], message: Span, tool_calls: Option<Span>, out: &mut Vec<u8>) {
    let mut edits = Edits::default();
    if let Some(calls) = tool_calls {
        let inner = calls.of(text);
        // Cannot fail: the text was validated before. A call that is not an object is copied unchanged.
        let _ = Reader::new(inner).array(|reader, index| {
            let call = reader.value()?;
            if call.kind == Kind::Object && !has_index(call.span.of(inner)) {
                let comma = if call.is_empty(inner) { "" } else { "," };
                edits.insert(calls.start - message.start + call.span.start + 1, |out| {
                    // Writing to a Vec cannot fail.
                    let _ = write!(out, "\"index\":{index}{comma}");
                });
            }
            Ok::<(), JsonError>(())
        });
    }
    edits.apply(message.of(text), out);
}

fn has_index(object: &[u8]) -> bool {
    let mut found = false;
    let _ = Reader::new(object).object(|reader, key| {
        found |= key.is("index");
        reader.value().map(|_| ())
    });
    found
}
