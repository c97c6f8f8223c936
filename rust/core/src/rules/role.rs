//! P6: the role of a choice.

use penstock_wire::json::Span;

use super::count::Rule;
use super::form::ChunkEdits;
use super::template::FastPath;
use crate::openai::{Choice, Delta, Role};

/// The role appears once per choice, in its first chunk. Fast path: kept by a later chunk without a role.
pub(crate) fn once(choice: &Choice, is_first: bool, data: &[u8], to: &mut ChunkEdits) -> FastPath {
    let replacement: &[u8] = if is_first { b"{\"role\":\"assistant\"}" } else { b"{}" };
    let delta = match choice.delta {
        Delta::Object(span) => span,
        Delta::Odd(span) => {
            to.edits.replace(span, |out| out.extend_from_slice(replacement));
            return FastPath::Passed;
        }
        Delta::Missing => {
            // A choice that was not dropped has at least one other member, so a comma follows.
            to.edits.insert(choice.span.start + 1, |out| {
                out.extend_from_slice(b"\"delta\":");
                out.extend_from_slice(replacement);
                out.push(b',');
            });
            return FastPath::Passed;
        }
    };
    match (is_first, choice.role) {
        (false, Role::Absent) => return FastPath::Kept,
        (true, Role::Given(..)) => return FastPath::Passed,
        (true, Role::Odd(_, value)) => {
            to.edits.replace(value, |out| out.extend_from_slice(b"\"assistant\""));
        }
        (true, Role::Absent) => to.edits.insert(delta.start + 1, |out| {
            out.extend_from_slice(b"\"role\":\"assistant\"");
            if choice.has_more_than_role {
                out.push(b',');
            }
        }),
        (false, Role::Given(start, value) | Role::Odd(start, value)) => {
            to.edits.remove(member_with_comma(data, start, value.end));
        }
    }
    to.counts.hit(Rule::P6);
    FastPath::Passed
}

/// The range of a member together with one comma before or after it.
fn member_with_comma(text: &[u8], start: usize, end: usize) -> Span {
    let before = text[..start].trim_ascii_end().len();
    if text[..before].ends_with(b",") {
        return Span { start: before - 1, end };
    }
    let blanks = text[end..].len() - text[end..].trim_ascii_start().len();
    if text[end + blanks..].starts_with(b",") {
        return Span { start, end: end + blanks + 1 };
    }
    Span { start, end }
}
