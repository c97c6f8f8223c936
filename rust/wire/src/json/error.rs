//! What can be wrong with a JSON text.

/// Deepest nesting that is accepted.
pub const MAX_DEPTH: u32 = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    #[error("the text ends too early")]
    Ended,
    #[error("unexpected character")]
    Unexpected,
    #[error("bad escape in a string")]
    BadEscape,
    #[error("control character in a string")]
    ControlCharacter,
    #[error("bad number")]
    BadNumber,
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("text after the value")]
    Trailing,
}

/// What is wrong, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct JsonError {
    pub at: usize,
    pub kind: JsonErrorKind,
}
