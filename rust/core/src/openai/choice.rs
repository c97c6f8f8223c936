//! One choice of a chunk: what it says, and what it leaves out.

use penstock_wire::json::{JsonError, Kind, Reader, Span};

/// The `delta` of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    Missing,
    /// Null or another value that is no object.
    Odd(Span),
    Object(Span),
}

/// The `role` in a delta: where its key starts, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Absent,
    Given(usize, Span),
    /// There, but null or no string.
    Odd(usize, Span),
}

/// The `finish_reason` of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Absent, null or "": the choice goes on.
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
    pub more_than_role: bool,
    pub role: Role,
    /// Something of the answer is in the delta: text, reasoning, a refusal or a tool call.
    pub says_something: bool,
    /// The last string of the answer in the delta, quotes included.
    pub said: Option<Span>,
    /// Any member besides the role is neither null nor empty.
    pub carries_something: bool,
    pub finish: Finish,
    /// Log probabilities are there and not null.
    pub has_logprobs: bool,
}

/// The members of a delta that are the answer itself.
const ANSWER: [&str; 6] =
    ["content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"];

impl Choice {
    /// Reads one choice. `position` stands in for a missing `index`.
    pub fn read(reader: &mut Reader<'_>, position: usize) -> Result<Self, JsonError> {
        let text = reader.text();
        let mut choice = Choice {
            span: Span { start: 0, end: 0 },
            index: position as u32,
            delta: Delta::Missing,
            more_than_role: false,
            role: Role::Absent,
            says_something: false,
            said: None,
            carries_something: false,
            finish: Finish::Open,
            has_logprobs: false,
        };
        choice.span = reader.object(|reader, key| {
            if key.is("delta") && reader.kind()? == Kind::Object {
                return choice.read_delta(reader);
            }
            let value = reader.value()?;
            match &*key.name() {
                b"index" => {
                    if let Some(index) = value.as_u64(text) {
                        choice.index = u32::try_from(index).unwrap_or(u32::MAX);
                    }
                }
                b"finish_reason" if value.kind == Kind::String && !value.is_empty(text) => {
                    choice.finish = Finish::Reason(value.span);
                }
                b"logprobs" => choice.has_logprobs = value.kind != Kind::Null,
                b"delta" => choice.delta = Delta::Odd(value.span),
                _ => {}
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(choice)
    }

    fn read_delta(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let text = reader.text();
        // A second delta replaces the first with all that was read of it.
        self.role = Role::Absent;
        self.more_than_role = false;
        self.says_something = false;
        self.said = None;
        self.carries_something = false;
        let span = reader.object(|reader, key| {
            let value = reader.value()?;
            if key.is("role") {
                self.role = if value.kind == Kind::String {
                    Role::Given(key.start, value.span)
                } else {
                    Role::Odd(key.start, value.span)
                };
                return Ok(());
            }
            self.more_than_role = true;
            if !value.is_empty(text) {
                self.carries_something = true;
                if ANSWER.iter().any(|name| key.is(name)) {
                    self.says_something = true;
                    if value.kind == Kind::String {
                        self.said = Some(value.span);
                    }
                }
            }
            Ok::<(), JsonError>(())
        })?;
        self.delta = Delta::Object(span);
        Ok(())
    }
}
