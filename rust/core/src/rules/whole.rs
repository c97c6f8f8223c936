//! Normalises whole answers that consist of choices (P1, P13), and converts them to a stream (P14).

use penstock_wire::json::{Edits, Kind};

use super::form::ChoiceForm;
use super::id_and_model::{Envelope, IdAndModel};
use super::usage::UsageRule;
use crate::openai::{
    BackendFailure, Completion, Field, Part, Usage, WholeChoice, find, write_server,
};

/// Why a whole answer on status 200 cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyFault {
    /// Not JSON, or not an answer of this endpoint.
    Garbage { detail: &'static str },
    /// A choice has no finish reason.
    Truncated,
    /// Fewer choices than asked for.
    MissingChoices { got: u32 },
    /// An error object on status 200.
    Failure(BackendFailure),
}

fn read<F: ChoiceForm>(text: &[u8], n: u32) -> Result<(Completion, Vec<WholeChoice>), BodyFault> {
    let garbage = BodyFault::Garbage { detail: F::NO_ANSWER };
    if simdutf8::basic::from_utf8(text).is_err() {
        return Err(garbage);
    }
    let Ok(mut completion) = Completion::read(text, F::read_whole) else { return Err(garbage) };
    if let Some(error) = find(&completion.parts, Field::Error) {
        return Err(BodyFault::Failure(BackendFailure::of_error_value(text, error)));
    }
    let Some(choices) = completion.choices.take() else { return Err(garbage) };
    if choices.iter().any(|choice| choice.content.is_none()) {
        return Err(garbage);
    }
    if choices.is_empty() || choices.iter().any(|choice| choice.finish_reason.is_none()) {
        return Err(BodyFault::Truncated);
    }
    if (choices.len() as u32) < n {
        return Err(BodyFault::MissingChoices { got: choices.len() as u32 });
    }
    Ok((completion, choices))
}

/// The token counts of a whole answer, if it has any.
pub fn usage_of(parts: &[Part], text: &[u8]) -> Option<Usage> {
    let value = find(parts, Field::Usage).filter(|value| value.kind == Kind::Object)?;
    Usage::read(value.span.of(text)).ok()
}

/// Checks a whole answer and appends it with id and model name replaced. Returns the reported token counts.
pub fn normalise_body<F: ChoiceForm>(
    text: &[u8],
    id_and_model: &IdAndModel,
    n: u32,
    out: &mut Vec<u8>,
) -> Result<Option<Usage>, BodyFault> {
    let (completion, _) = read::<F>(text, n)?;
    let mut edits = Edits::default();
    let Completion { object, parts, .. } = &completion;
    let envelope = Envelope { object: F::WHOLE, is_named: true };
    id_and_model.edit(*object, parts, envelope, UsageRule::Keep, text, &mut edits);
    edits.apply(text, out);
    Ok(usage_of(parts, text))
}

/// P14: converts a whole answer to chunks and calls `emit` with the data of each, in order. The stream's rules
/// must still be applied to them.
pub fn stream_of<F: ChoiceForm>(
    text: &[u8],
    n: u32,
    mut emit: impl FnMut(&[u8]),
) -> Result<(), BodyFault> {
    let (completion, choices) = read::<F>(text, n)?;
    let mut chunk = vec![b'{'];
    write_server(&completion.parts, text, &mut chunk);
    let start = chunk.len();
    for (position, choice) in choices.iter().enumerate() {
        chunk.truncate(start);
        chunk.extend_from_slice(b"\"choices\":[");
        F::write_as_chunk(choice, position, text, &mut chunk);
        chunk.extend_from_slice(b"]}");
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
