//! What each field of a chat request may hold: checked here, once, so that a wrong type is a 400
//! that names the field and never a backend's 500.

use crate::json::Kind;

/// Sets of JSON kinds, for messages and checks. Null is always allowed beside them: nearly every
/// optional field is nullable in the `OpenAI` specification (research/compat.md §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    Integer,
    Number,
    String,
    Object,
    Array,
    StringOrArray,
    StringOrObject,
}

impl Shape {
    pub(super) fn allows(self, kind: Kind) -> bool {
        match self {
            _ if kind == Kind::Null => true,
            Shape::Boolean => matches!(kind, Kind::True | Kind::False),
            Shape::Integer | Shape::Number => kind == Kind::Number,
            Shape::String => kind == Kind::String,
            Shape::Object => kind == Kind::Object,
            Shape::Array => kind == Kind::Array,
            Shape::StringOrArray => matches!(kind, Kind::String | Kind::Array),
            Shape::StringOrObject => matches!(kind, Kind::String | Kind::Object),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Boolean => "a boolean",
            Shape::Integer => "an integer",
            Shape::Number => "a number",
            Shape::String => "a string",
            Shape::Object => "an object",
            Shape::Array => "an array",
            Shape::StringOrArray => "a string or an array",
            Shape::StringOrObject => "a string or an object",
        }
    }
}

/// The fields of `POST /v1/chat/completions` whose type the specification fixes. Others pass.
const FIELDS: &[(&str, Shape)] = &[
    ("messages", Shape::Array),
    ("model", Shape::String),
    ("stream", Shape::Boolean),
    ("stream_options", Shape::Object),
    ("max_tokens", Shape::Integer),
    ("max_completion_tokens", Shape::Integer),
    ("n", Shape::Integer),
    ("best_of", Shape::Integer),
    ("temperature", Shape::Number),
    ("top_p", Shape::Number),
    ("frequency_penalty", Shape::Number),
    ("presence_penalty", Shape::Number),
    ("seed", Shape::Integer),
    ("stop", Shape::StringOrArray),
    ("logprobs", Shape::Boolean),
    ("top_logprobs", Shape::Integer),
    ("logit_bias", Shape::Object),
    ("tools", Shape::Array),
    ("tool_choice", Shape::StringOrObject),
    ("parallel_tool_calls", Shape::Boolean),
    ("response_format", Shape::Object),
    ("user", Shape::String),
    ("chat_template_kwargs", Shape::Object),
];

/// The shape that the specification fixes for a field, if it does.
pub(super) fn shape_of(key: &str) -> Option<Shape> {
    FIELDS.iter().find(|(name, _)| *name == key).map(|&(_, shape)| shape)
}
