//! The normaliser of whole chat answers, and their conversion to a stream (P1, P13, P14).

use std::io::Write;

use penstock_wire::json::{Edits, JsonError, Kind, Reader, Span};

use super::identity::{Identity, UsageRule};
use crate::openai::{BackendFailure, Completion, Field, Usage, WholeChoice, find, write_server};

/// Why a whole answer on status 200 cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyFault {
    /// No JSON, or no completion.
    Garbage,
    /// A choice has no finish reason.
    Truncated,
    /// Fewer choices than asked for.
    MissingChoices { got: u32 },
    /// An error object on status 200.
    Failure(BackendFailure),
}

fn read(text: &[u8], n: u32) -> Result<(Completion, Vec<WholeChoice>), BodyFault> {
    if simdutf8::basic::from_utf8(text).is_err() {
        return Err(BodyFault::Garbage);
    }
    let mut completion = Completion::read(text).map_err(|_| BodyFault::Garbage)?;
    if let Some(error) = find(&completion.parts, Field::Error) {
        return Err(BodyFault::Failure(BackendFailure::of_error_value(text, error)));
    }
    let choices = completion.choices.take().ok_or(BodyFault::Garbage)?;
    if choices.iter().any(|choice| choice.message.is_none()) {
        return Err(BodyFault::Garbage);
    }
    if choices.is_empty() || choices.iter().any(|choice| choice.finish_reason.is_none()) {
        return Err(BodyFault::Truncated);
    }
    if (choices.len() as u32) < n {
        return Err(BodyFault::MissingChoices { got: choices.len() as u32 });
    }
    Ok((completion, choices))
}

fn usage_of(completion: &Completion, text: &[u8]) -> Option<Usage> {
    let value = find(&completion.parts, Field::Usage).filter(|value| value.kind == Kind::Object)?;
    Usage::read(value.span.of(text)).ok()
}

/// Checks a whole answer and appends it with its identity set. Returns the reported token counts.
pub fn normalise_body(
    text: &[u8],
    identity: &Identity,
    n: u32,
    out: &mut Vec<u8>,
) -> Result<Option<Usage>, BodyFault> {
    let (completion, _) = read(text, n)?;
    let mut edits = Edits::default();
    let Completion { object, parts, .. } = &completion;
    identity.edit(*object, parts, "chat.completion", UsageRule::Keep, text, &mut edits);
    edits.apply(text, out);
    Ok(usage_of(&completion, text))
}

/// P14: a whole answer where a stream was asked for, turned into the data of chunks. Each is given to
/// `emit`, in order; they still go through the stream's own rules.
pub fn stream_of(text: &[u8], n: u32, mut emit: impl FnMut(&[u8])) -> Result<(), BodyFault> {
    let (completion, choices) = read(text, n)?;
    let mut chunk = vec![b'{'];
    write_server(&completion.parts, text, &mut chunk);
    let start = chunk.len();
    for (index, choice) in choices.iter().enumerate() {
        chunk.truncate(start);
        // Writing to a Vec cannot fail.
        let _ = write!(chunk, "\"choices\":[{{\"index\":{index},\"delta\":");
        if let Some(message) = choice.message {
            write_delta(text, message, choice.tool_calls, &mut chunk);
        }
        if let Some(logprobs) = choice.logprobs {
            chunk.extend_from_slice(b",\"logprobs\":");
            chunk.extend_from_slice(logprobs.of(text));
        }
        if let Some(reason) = choice.finish_reason {
            chunk.extend_from_slice(b",\"finish_reason\":");
            chunk.extend_from_slice(reason.of(text));
        }
        chunk.extend_from_slice(b"}]}");
        emit(&chunk);
    }
    if let Some(usage) = find(&completion.parts, Field::Usage) {
        chunk.truncate(start);
        chunk.extend_from_slice(b"\"choices\":[],\"usage\":");
        chunk.extend_from_slice(usage.span.of(text));
        chunk.push(b'}');
        emit(&chunk);
    }
    Ok(())
}

/// A message as a delta: the same, but each tool call says its index.
fn write_delta(text: &[u8], message: Span, tool_calls: Option<Span>, out: &mut Vec<u8>) {
    let mut edits = Edits::default();
    if let Some(calls) = tool_calls {
        let inner = calls.of(text);
        // The text was validated as a whole before; a call that is no object stays as it is.
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
