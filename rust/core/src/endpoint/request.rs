//! A parsed request: the positions of its members, and the values that Penstock uses.

use std::borrow::Cow;

use penstock_wire::json::{JsonError, JsonErrorKind, Kind, Reader, Span, Value, unescape};

use super::parameter::{Parameter, Shape, meant_by, misspelt, refuse_misspelt};
use crate::openai::{ApiError, Code};
use crate::rules::MAX_CHOICES;

/// One top-level member.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    pub parameter: Parameter,
    pub name: Cow<'a, str>,
    /// Position of the key's opening quote.
    pub start: usize,
    pub value: Value,
}

/// A valid request; [`Self::read`] refuses all others.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub text: &'a [u8],
    pub members: Vec<Member<'a>>,
    /// The whole top-level object.
    pub object: Span,
    pub model: Cow<'a, str>,
    pub stream: bool,
    /// `stream_options.include_usage`: the client wants the usage chunk.
    pub include_usage: bool,
    /// Choices asked for, for each prompt; at least 1.
    pub n: u32,
    /// Sequences that run for each prompt: the larger of `n` and `best_of`.
    pub width: u32,
    /// The length limit; `max_completion_tokens` takes precedence if both are given.
    pub max_tokens: Option<u64>,
    pub prompt: Prompt,
}

/// The size of the prompt, tools included.
#[derive(Debug, Clone)]
pub struct Prompt {
    pub span: Span,
    /// Number of prompts; each gets its own choices.
    pub count: u32,
    /// Bytes of text, from which tokens are estimated.
    pub bytes: usize,
    /// Tokens that were sent as numbers.
    pub tokens: u64,
    /// Number of images, sounds, videos and files.
    pub media: u32,
    /// A fault of the prompt. It is kept until later, because faults of other members are reported first.
    pub fault: Option<ApiError>,
}

impl Default for Prompt {
    fn default() -> Self {
        let span = Span { start: 0, end: 0 };
        Prompt { span, count: 1, bytes: 0, tokens: 0, media: 0, fault: None }
    }
}

/// Nearly all requests have at most this many members.
const FEW: usize = 12;

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        let message = match error.kind {
            JsonErrorKind::TooDeep => format!("the request body is {error}"),
            _ => format!("the request body is not valid JSON: {error}"),
        };
        ApiError::new(Code::InvalidJson, message)
    }
}

impl<'a> Request<'a> {
    /// Parses a body. `parameter`: looks up the endpoint's names; `read_prompt`: reads the member that holds the
    /// prompt, whose name is `prompt_name`.
    pub(super) fn read(
        text: &'a [u8],
        parameter: impl Fn(&[u8]) -> Parameter,
        prompt_name: &str,
        read_prompt: impl Fn(&mut Reader<'_>) -> Result<Prompt, JsonError>,
    ) -> Result<Self, ApiError> {
        let whole = simdutf8::compat::from_utf8(text).map_err(|error| {
            let at = error.valid_up_to();
            let message = format!("the request body is not valid UTF-8 at byte {at}");
            ApiError::new(Code::InvalidJson, message)
        })?;
        let mut reader = Reader::new(text);
        let kind = reader.kind()?;
        if kind != Kind::Object {
            let message = format!("the request body must be a JSON object, not {}", kind.name());
            return Err(ApiError::new(Code::InvalidJson, message));
        }
        let mut members: Vec<Member<'a>> = Vec::with_capacity(FEW);
        let mut prompt = Prompt::default();
        let object = reader.object(|reader, key| {
            let name = if key.escaped {
                unescape(key.raw)
            } else {
                Cow::Borrowed(&whole[key.start + 1..][..key.raw.len()])
            };
            let parameter = parameter(name.as_bytes());
            let value = match parameter {
                Parameter::Prompt(shape) => match reader.kind()? {
                    kind if kind != Kind::Null && shape.allows(kind) => {
                        prompt = read_prompt(reader)?;
                        Value { kind, span: prompt.span }
                    }
                    _ => reader.value()?,
                },
                _ => reader.value()?,
            };
            members.push(Member { parameter, name, start: key.start, value });
            Ok::<(), ApiError>(())
        })?;
        reader.end()?;
        refuse_duplicates(&members)?;
        for member in &members {
            if member.parameter == Parameter::Other {
                refuse_misspelt(&member.name, &parameter)?;
            }
        }

        let mut request = Request {
            text,
            members,
            object,
            model: Cow::Borrowed(""),
            stream: false,
            include_usage: false,
            n: 1,
            width: 1,
            max_tokens: None,
            prompt,
        };
        request.check_shapes()?;
        request.read_members(prompt_name)?;
        Ok(request)
    }

    /// The member of a parameter, if it is not null.
    pub fn get(&self, parameter: Parameter) -> Option<&Member<'a>> {
        self.find(|known| known == parameter)
    }

    fn find(&self, is_meant: impl Fn(Parameter) -> bool) -> Option<&Member<'a>> {
        let is_there = |m: &&Member<'_>| is_meant(m.parameter) && m.value.kind != Kind::Null;
        self.members.iter().find(is_there)
    }

    fn required(
        &self,
        is_meant: impl Fn(Parameter) -> bool,
        name: &str,
    ) -> Result<&Member<'a>, ApiError> {
        self.find(is_meant).ok_or_else(|| {
            ApiError::new(
                Code::MissingRequiredParameter,
                format!("missing required parameter: '{name}'"),
            )
            .param(name)
        })
    }

    fn check_shapes(&self) -> Result<(), ApiError> {
        for member in &self.members {
            let Some(shape) = member.parameter.shape() else { continue };
            let kind = member.value.kind;
            let fraction = shape == Shape::Integer
                && kind == Kind::Number
                && !is_integer(member.value.span.of(self.text));
            if !shape.allows(kind) || fraction {
                let found = if fraction { "a fraction" } else { kind.name() };
                let (name, wanted) = (&member.name, shape.name());
                let message = format!("'{name}' must be {wanted}, not {found}");
                return Err(ApiError::new(Code::InvalidValue, message).param(name.as_ref()));
            }
        }
        Ok(())
    }

    fn read_members(&mut self, prompt_name: &str) -> Result<(), ApiError> {
        let text = self.text;
        let model = self.required(|parameter| parameter == Parameter::Model, "model")?.value;
        self.model = unescape(model.raw_str(text).unwrap_or_default());
        self.required(|parameter| matches!(parameter, Parameter::Prompt(_)), prompt_name)?;
        self.prompt.fault.take().map_or(Ok(()), Err)?;
        if let Some(tools) = self.get(Parameter::Tools) {
            self.prompt.bytes += tools.value.span.len();
        }
        self.stream = self.get(Parameter::Stream).is_some_and(|m| m.value.kind == Kind::True);
        self.include_usage = self.read_include_usage()?;
        self.n = self.read_count(Parameter::N, MAX_CHOICES)?.map_or(1, |n| n as u32);
        let best_of = self.read_count(Parameter::BestOf, MAX_CHOICES)?.map_or(1, |n| n as u32);
        self.width = self.n.max(best_of);
        let old = self.read_count(Parameter::MaxTokens, u64::MAX)?;
        let new = self.read_count(Parameter::MaxCompletionTokens, u64::MAX)?;
        self.max_tokens = new.or(old);
        Ok(())
    }

    /// Refuses parameters that only the operator may set.
    pub fn check_is_a_clients(&self) -> Result<(), ApiError> {
        if self.members.iter().any(|member| member.parameter == Parameter::ChatTemplate) {
            let message = "'chat_template' is not accepted from clients";
            return Err(ApiError::new(Code::UnsupportedParameter, message).param("chat_template"));
        }
        Ok(())
    }

    fn read_include_usage(&self) -> Result<bool, ApiError> {
        let Some(options) = self.get(Parameter::StreamOptions) else { return Ok(false) };
        let mut asked = false;
        let mut reader = Reader::new(options.value.span.of(self.text));
        reader.object(|reader, key| {
            let value = reader.value()?;
            if key.is("include_usage") {
                if !Shape::Boolean.allows(value.kind) {
                    let found = value.kind.name();
                    let message = format!("'include_usage' must be a boolean, not {found}");
                    return Err(ApiError::new(Code::InvalidValue, message)
                        .param("stream_options.include_usage"));
                }
                asked = value.kind == Kind::True;
            } else if let Some(meant) = meant_by(&key.name(), &["include_usage"]) {
                return Err(misspelt("stream_options.", &unescape(key.raw), meant));
            }
            Ok(())
        })?;
        Ok(asked)
    }

    /// An integer of at least 1 and at most `most`.
    fn read_count(&self, parameter: Parameter, most: u64) -> Result<Option<u64>, ApiError> {
        let Some(member) = self.get(parameter) else { return Ok(None) };
        match member.value.as_u64(self.text) {
            Some(count) if (1..=most).contains(&count) => Ok(Some(count)),
            _ => {
                let range = if most == u64::MAX {
                    "at least 1".to_owned()
                } else {
                    format!("from 1 to {most}")
                };
                let name = member.name.as_ref();
                let message = format!("'{name}' must be an integer {range}");
                Err(ApiError::new(Code::InvalidValue, message).param(name))
            }
        }
    }
}

/// Whether a JSON number has only digits and an optional minus: neither fraction nor exponent.
fn is_integer(number: &[u8]) -> bool {
    number.strip_prefix(b"-").unwrap_or(number).iter().all(u8::is_ascii_digit)
}

/// Refuses a duplicate key: parsers disagree on which of the two counts, so what was checked here might not be what
/// the backend uses.
fn refuse_duplicates(members: &[Member<'_>]) -> Result<(), ApiError> {
    match twice(members) {
        None => Ok(()),
        Some(name) => {
            let shown: String = name.chars().take(64).collect();
            let message = format!("the key '{shown}' appears twice");
            Err(ApiError::new(Code::DuplicateKey, message).param(shown))
        }
    }
}

/// The alphabetically first name that appears twice.
fn twice<'a>(members: &'a [Member<'_>]) -> Option<&'a str> {
    // Few members are compared pairwise, which needs no allocation.
    let is_new = |(at, member): (usize, &Member<'_>)| {
        members[..at].iter().all(|earlier| earlier.name != member.name)
    };
    if members.len() <= FEW && members.iter().enumerate().all(is_new) {
        return None;
    }
    let mut names: Vec<&str> = members.iter().map(|member| member.name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
