//! One choice of a chunk. Each endpoint reads it in its own way.

use penstock_wire::json::{Kind, Span, Value};

/// The member that holds a choice's part of the answer: `delta`, or `text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    Missing,
    /// Null, or a value of a wrong type.
    Odd(Span),
    Object(Span),
}

/// The `role` in a delta: where its key starts, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Absent,
    Given(usize, Span),
    /// Present, but null or not a string.
    Odd(usize, Span),
}

/// The `finish_reason` of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Absent, null or "": the choice continues.
    Open,
    /// The range of the reason's string, quotes included.
    Reason(Span),
}

#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub span: Span,
    pub index: u32,
    pub delta: Delta,
    /// The delta has a member besides the role.
    pub has_more_than_role: bool,
    pub role: Role,
    /// It contains part of the answer: text, reasoning, a refusal or a tool call.
    pub has_output: bool,
    /// The last non-empty string of the answer in it, quotes included.
    pub last_text: Option<Span>,
    /// Some member besides the role is neither null nor empty.
    pub has_content: bool,
    pub finish: Finish,
    /// `logprobs` is present and not null.
    pub has_logprobs: bool,
}

impl Choice {
    /// A choice before any member was read. `position` is used as the index if there is none.
    pub fn at(position: usize) -> Self {
        Choice {
            span: Span { start: 0, end: 0 },
            index: position as u32,
            delta: Delta::Missing,
            has_more_than_role: false,
            role: Role::Absent,
            has_output: false,
            last_text: None,
            has_content: false,
            finish: Finish::Open,
            has_logprobs: false,
        }
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
                self.finish = Finish::Reason(value.span);
            }
            b"logprobs" => self.has_logprobs = value.kind != Kind::Null,
            _ => {}
        }
    }
}
