//! `POST /v1/completions`: continues texts, without roles.

use std::io::Write;

use penstock_wire::json::{JsonError, Kind, Reader};

use super::{Endpoint, Parameter, Prompt, Request, Shape};
use crate::openai::{ApiError, Choice, Delta, Finish, Usage, WholeChoice};
use crate::rules::members::{Members, each_member, quoted};
use crate::rules::{
    Asked, BodyFault, ChoiceForm, ChunkEdits, FastPath, Gathered, IdAndModel, Streaming, TooMuch,
    normalise_body,
};

#[derive(Debug)]
pub struct Completions;

const PROMPT: Parameter = Parameter::Prompt(Shape::StringOrArray);
const PROMPT_NAME: &str = "prompt";
const TEXT: &[u8] = b"\"text\"";

fn parameter(name: &[u8]) -> Parameter {
    match name {
        b"prompt" => PROMPT,
        b"suffix" => Parameter::Shaped(Shape::String),
        b"echo" => Parameter::Shaped(Shape::Boolean),
        b"logprobs" => Parameter::Shaped(Shape::Integer),
        _ => Parameter::generation(name),
    }
}

impl Endpoint for Completions {
    fn path(&self) -> &'static str {
        "/v1/completions"
    }

    fn id_prefix(&self) -> &'static str {
        "cmpl-"
    }

    fn prompt_name(&self) -> &'static str {
        PROMPT_NAME
    }

    fn parameter(&self, name: &[u8]) -> Parameter {
        parameter(name)
    }

    fn read<'a>(&self, body: &'a [u8]) -> Result<Request<'a>, ApiError> {
        Request::read(body, parameter, PROMPT_NAME, |reader| Prompt::read(reader, PROMPT_NAME))
    }

    fn prefix(&self) -> &'static [Parameter] {
        &[PROMPT]
    }

    fn whole(
        &self,
        text: &[u8],
        id_and_model: &IdAndModel,
        asked: Asked,
        out: &mut Vec<u8>,
    ) -> Result<Option<Usage>, BodyFault> {
        normalise_body::<Completions>(text, id_and_model, asked.n, out)
    }

    fn streaming(&self) -> Option<&'static dyn Streaming> {
        Some(&Completions)
    }
}

impl ChoiceForm for Completions {
    const CHUNK: &'static str = "text_completion";
    const WHOLE: &'static str = "text_completion";
    const NO_ANSWER: &'static str = "no completion";
    type Gathered = TextChoice;

    fn read(reader: &mut Reader<'_>, position: usize) -> Result<Choice, JsonError> {
        let text = reader.text();
        let mut choice = Choice::at(position);
        choice.span = reader.object(|reader, key| {
            let value = reader.value()?;
            match &*key.name() {
                b"text" => {
                    let is_text = value.kind == Kind::String;
                    choice.delta =
                        if is_text { Delta::Object(value.span) } else { Delta::Odd(value.span) };
                    choice.has_output = is_text && !value.is_empty(text);
                    choice.has_content = choice.has_output;
                    choice.last_text = choice.has_output.then_some(value.span);
                }
                name => choice.read_common(name, value, text),
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(choice)
    }

    fn read_whole(reader: &mut Reader<'_>, position: usize) -> Result<WholeChoice, JsonError> {
        let text = reader.text();
        let mut choice = WholeChoice::at(position);
        reader.object(|reader, key| {
            let value = reader.value()?;
            match &*key.name() {
                b"text" => choice.content = (value.kind == Kind::String).then_some(value.span),
                name => choice.read_common(name, value, text),
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(choice)
    }

    /// Adds an empty text to a choice without one. Unlike in chat, text and finish reason may share a chunk.
    fn edit(choice: &Choice, _: bool, _: &[u8], to: &mut ChunkEdits) -> FastPath {
        match choice.delta {
            Delta::Object(_) => {}
            Delta::Odd(span) => to.edits.replace(span, |out| out.extend_from_slice(b"\"\"")),
            // A choice that was not dropped has at least one other member, so a comma follows.
            Delta::Missing => to.edits.insert(choice.span.start + 1, |out| {
                out.extend_from_slice(TEXT);
                out.extend_from_slice(b":\"\",");
            }),
        }
        match (choice.finish, choice.delta) {
            (Finish::Reason(_), _) => FastPath::Ended,
            (Finish::Open, Delta::Object(_)) => FastPath::Kept,
            (Finish::Open, _) => FastPath::Passed,
        }
    }

    fn write_as_chunk(choice: &WholeChoice, _: usize, text: &[u8], out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{{\"index\":{}", choice.index);
        let members = [
            ("text", choice.content),
            ("logprobs", choice.logprobs),
            ("finish_reason", choice.finish_reason),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                let _ = write!(out, ",\"{name}\":");
                out.extend_from_slice(value.of(text));
            }
        }
        out.push(b'}');
    }
}

/// One choice of an assembled answer.
#[derive(Debug, Default)]
pub struct TextChoice {
    /// Only the member `text`.
    text: Members,
    /// The arrays in `logprobs`, with an entry for each token.
    logprobs: Members,
    /// The finish reason as JSON; empty: the choice continues.
    finish: Vec<u8>,
    /// All other members of the choice.
    rest: Members,
}

impl Gathered for TextChoice {
    fn add(&mut self, choice: &Choice, text: &[u8], size: &mut usize) -> Result<(), TooMuch> {
        if let Finish::Reason(reason) = choice.finish {
            self.finish.extend_from_slice(reason.of(text));
        }
        let own = choice.span.of(text);
        each_member(own, |key, value| match &*key.name() {
            b"text" if value.kind == Kind::String => self.text.append(TEXT, value, own, size),
            b"logprobs" if value.kind == Kind::Object => {
                let inner = value.span.of(own);
                each_member(inner, |key, value| {
                    self.logprobs.append_array(quoted(&key, inner), value, inner, size);
                });
            }
            b"index" | b"finish_reason" | b"text" | b"logprobs" => {}
            // An extension of vLLM: the tokens of this chunk, so the arrays are joined.
            b"token_ids" => self.rest.append_array(quoted(&key, own), value, own, size),
            _ => self.rest.set(quoted(&key, own), value, own, size),
        });
        Ok(())
    }

    fn write(&self, index: u32, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{{\"index\":{index},\"text\":");
        if !self.text.write_value(TEXT, out) {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(b",\"logprobs\":");
        if self.logprobs.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            out.push(b'{');
            self.logprobs.write(&[], out);
            out.push(b'}');
        }
        out.extend_from_slice(b",\"finish_reason\":");
        out.extend_from_slice(&self.finish);
        self.rest.write(&[], out);
        out.push(b'}');
    }
}
