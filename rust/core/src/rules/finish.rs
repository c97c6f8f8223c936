//! P6: the finish reason of a choice.

use std::io::Write;

use penstock_wire::json::Span;

use super::count::Rule;
use super::form::ChunkEdits;
use super::template::FastPath;
use crate::openai::{Choice, Finish};

/// Moves a finish reason that comes together with text into a chunk of its own. Fast path: kept while the
/// choice continues; when it finishes, the template is invalid.
pub(crate) fn split_off(choice: &Choice, to: &mut ChunkEdits) -> FastPath {
    let Finish::Reason(reason) = choice.finish else { return FastPath::Kept };
    if choice.has_output {
        to.edits.replace(reason, |out| out.extend_from_slice(b"null"));
        to.split.push((choice.index, reason));
        to.counts.hit(Rule::P6);
    }
    FastPath::Ended
}

/// Appends the choices of the extra chunk; their reasons are ranges of `data`.
pub(super) fn write_choices(split: &[(u32, Span)], data: &[u8], out: &mut Vec<u8>) {
    for (at, (index, reason)) in split.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{comma}{{\"index\":{index},\"delta\":{{}},\"finish_reason\":");
        out.extend_from_slice(reason.of(data));
        out.push(b'}');
    }
}
