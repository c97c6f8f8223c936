//! The parameters of a request and their types. They are checked here so that a wrong type is a 400 that names the
//! parameter, and not a 500 from a backend.

use penstock_wire::json::{Kind, folded, is_folded};

use crate::openai::{ApiError, Code};

/// The JSON types that a parameter may have. Null is always allowed too: nearly every optional field is
/// nullable in the `OpenAI` specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
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

/// What a parameter means to Penstock. Names differ between endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// The input of the model: messages, texts, tokens.
    Prompt(Shape),
    Model,
    Stream,
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    N,
    BestOf,
    Tools,
    ChatTemplate,
    ChatTemplateKwargs,
    /// Only its type is checked.
    Shaped(Shape),
    /// Unknown; passed on unchanged.
    Other,
}

impl Parameter {
    /// For names that mean the same at every endpoint.
    #[inline]
    pub(super) fn common(name: &[u8]) -> Self {
        match name {
            b"model" => Parameter::Model,
            b"stream" => Parameter::Stream,
            b"chat_template" => Parameter::ChatTemplate,
            b"user" => Parameter::Shaped(Shape::String),
            _ => Parameter::Other,
        }
    }

    /// For names that mean the same at every endpoint that generates text.
    #[inline]
    pub(super) fn generation(name: &[u8]) -> Self {
        use Parameter as P;
        match name {
            b"stream_options" => P::StreamOptions,
            b"max_tokens" => P::MaxTokens,
            b"max_completion_tokens" => P::MaxCompletionTokens,
            b"n" => P::N,
            b"best_of" => P::BestOf,
            b"seed" => P::Shaped(Shape::Integer),
            b"temperature" | b"top_p" | b"frequency_penalty" | b"presence_penalty" => {
                P::Shaped(Shape::Number)
            }
            b"logit_bias" | b"response_format" => P::Shaped(Shape::Object),
            b"stop" => P::Shaped(Shape::StringOrArray),
            _ => P::common(name),
        }
    }

    /// The type required by the specification, if any.
    pub(super) fn shape(self) -> Option<Shape> {
        match self {
            Parameter::Prompt(shape) | Parameter::Shaped(shape) => Some(shape),
            Parameter::Tools => Some(Shape::Array),
            Parameter::Model => Some(Shape::String),
            Parameter::Stream => Some(Shape::Boolean),
            Parameter::StreamOptions | Parameter::ChatTemplateKwargs => Some(Shape::Object),
            Parameter::MaxTokens
            | Parameter::MaxCompletionTokens
            | Parameter::N
            | Parameter::BestOf => Some(Shape::Integer),
            Parameter::ChatTemplate | Parameter::Other => None,
        }
    }
}

/// Characters of the longest known name.
const LONGEST: usize = "max_completion_tokens".len();

/// Refuses a name that differs only in case from a known one: a backend that ignores case would use it, though its
/// value was not checked. `parameter`: looks up the endpoint's names.
pub(super) fn refuse_misspelt(
    name: &str,
    parameter: impl Fn(&[u8]) -> Parameter,
) -> Result<(), ApiError> {
    if is_folded(name.as_bytes()) {
        return Ok(());
    }
    let meant: String = folded(name).take(LONGEST + 1).collect();
    match parameter(meant.as_bytes()) {
        Parameter::Other => Ok(()),
        _ => Err(misspelt("", name, &meant)),
    }
}

/// The known name of a nested object that `name` differs from only in case; `None` if it is exactly that name.
pub(super) fn meant_by<'a>(name: &[u8], known: &[&'a str]) -> Option<&'a str> {
    if is_folded(name) {
        return None;
    }
    let name = String::from_utf8_lossy(name);
    known.iter().find(|known| folded(&name).eq(known.chars())).copied()
}

/// The error for a name that differs from `meant` only in case. `path`: the path of the enclosing object.
pub fn misspelt(path: &str, name: &str, meant: &str) -> ApiError {
    let message = format!("'{name}' differs from '{meant}' only in case");
    ApiError::new(Code::InvalidValue, message).param(format!("{path}{name}"))
}
