//! `chat_template_kwargs`: which arguments of a chat template a client may set.

use penstock_wire::json::{Edits, Kind, MemberFilter, Reader, unescape};

use super::config::Unsupported;
use super::member_edit::MemberEdit;
use super::warning::Warning;
use crate::openai::{ApiError, Code};

/// Keeps only scalars under allowed names: an arbitrary template argument can block an engine's event loop. `text`:
/// the value of `chat_template_kwargs`, an object.
pub(super) fn filter(
    text: &[u8],
    allow: &[String],
    unsupported: Unsupported,
    warnings: &mut Vec<Warning>,
) -> Result<MemberEdit, ApiError> {
    let mut edits = Edits::default();
    let mut filter = MemberFilter::new(0);
    let mut odd = None;
    // Not read with serde_json, which refuses numbers and escapes that engines accept; such an object
    // would pass unchecked.
    Reader::new(text).object(|reader, key| {
        let name = unescape(key.raw);
        let value = reader.value()?;
        let scalar = !matches!(value.kind, Kind::Object | Kind::Array);
        if scalar && allow.iter().any(|allowed| *allowed == name) {
            filter.keep(key.start, value.span.end, &mut edits);
        } else {
            filter.remove(value.span.end, &mut edits);
            odd.get_or_insert_with(|| name.chars().take(64).collect::<String>());
        }
        Ok::<(), ApiError>(())
    })?;
    let Some(odd) = odd else { return Ok(MemberEdit::Keep) };
    if unsupported == Unsupported::Strict {
        let param = format!("chat_template_kwargs.{odd}");
        let message = format!("'{param}' is not accepted here");
        return Err(ApiError::new(Code::UnsupportedParameter, message).param(param));
    }
    warnings.push(Warning::TemplateArgumentDropped);
    if !filter.any_kept() {
        return Ok(MemberEdit::Drop);
    }
    let mut fresh = Vec::with_capacity(text.len());
    edits.apply(text, &mut fresh);
    Ok(MemberEdit::Replace(fresh))
}
