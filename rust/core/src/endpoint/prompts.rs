//! Prompts without roles: one or several texts, or token numbers.

use penstock_wire::json::{JsonError, Kind, Reader, Value};

use super::request::Prompt;
use crate::openai::{ApiError, Code};

impl Prompt {
    /// Reads a string, an array of strings, an array of tokens, or an array of arrays of tokens. `name`: the name
    /// of the parameter.
    pub fn read(reader: &mut Reader<'_>, name: &str) -> Result<Self, JsonError> {
        let mut prompts = Prompts { name, kind: None, prompt: Prompt::default() };
        if reader.kind()? == Kind::String {
            let value = reader.value()?;
            prompts.prompt.span = value.span;
            prompts.add_text(value);
            return Ok(prompts.prompt);
        }
        let (mut length, text) = (0, reader.text());
        prompts.prompt.span = reader.array(|reader, index| {
            length += 1;
            let kind = reader.kind()?;
            let wanted = *prompts.kind.get_or_insert(kind);
            if kind != wanted || !matches!(kind, Kind::String | Kind::Number | Kind::Array) {
                prompts.fail(&format!("[{index}]"), wanted, kind);
                return reader.value().map(|_| ());
            }
            match kind {
                Kind::Number => {
                    let token = reader.value()?;
                    prompts.add_token(&format_args!("[{index}]"), token, text);
                }
                Kind::Array => prompts.add_tokens(index, reader)?,
                _ => {
                    let value = reader.value()?;
                    prompts.add_text(value);
                }
            }
            Ok::<(), JsonError>(())
        })?;
        prompts.prompt.count = if prompts.kind == Some(Kind::Number) { 1 } else { length };
        if length == 0 {
            prompts.refuse(format!("'{name}' must not be empty"), "");
        }
        Ok(prompts.prompt)
    }
}

/// The state while a prompt is read.
struct Prompts<'a> {
    name: &'a str,
    /// The type of the first element; all others must have the same.
    kind: Option<Kind>,
    prompt: Prompt,
}

impl Prompts<'_> {
    fn add_text(&mut self, value: Value) {
        // Without its quotes.
        self.prompt.bytes += value.span.len() - 2;
    }

    fn add_token(&mut self, place: &dyn std::fmt::Display, token: Value, text: &[u8]) {
        self.prompt.tokens += 1;
        if token.as_u64(text).is_none() {
            let message =
                format!("'{}{place}' must be a token: an integer of at least 0", self.name);
            self.refuse(message, &place.to_string());
        }
    }

    fn add_tokens(&mut self, index: usize, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let (mut length, text) = (0, reader.text());
        reader.array(|reader, at| {
            length += 1;
            let value = reader.value()?;
            self.add_token(&format_args!("[{index}][{at}]"), value, text);
            Ok::<(), JsonError>(())
        })?;
        if length == 0 {
            self.refuse(
                format!("'{}[{index}]' must not be empty", self.name),
                &format!("[{index}]"),
            );
        }
        Ok(())
    }

    /// Refuses an element whose type differs from the first one's, or a first element of an unsupported type.
    fn fail(&mut self, place: &str, wanted: Kind, found: Kind) {
        let wanted = match wanted {
            Kind::String => "a string",
            Kind::Number => "an integer",
            Kind::Array => "an array of integers",
            _ => "a string, an integer or an array of integers",
        };
        let message = format!("'{}{place}' must be {wanted}, not {}", self.name, found.name());
        self.refuse(message, place);
    }

    /// Only the first fault is reported. `place`: the path inside the parameter.
    fn refuse(&mut self, message: String, place: &str) {
        let param = format!("{}{place}", self.name);
        let error = || ApiError::new(Code::InvalidValue, message).param(param);
        self.prompt.fault.get_or_insert_with(error);
    }
}
