//! `POST /v1/chat/completions`.

mod calls;
mod delta;
mod message;
mod messages;

use penstock_wire::json::{JsonError, Reader};

use super::{Endpoint, Parameter, Request, Shape};
use crate::openai::{ApiError, Choice, Usage, WholeChoice};
use crate::rules::{
    Asked, BodyFault, ChoiceForm, ChunkEdits, FastPath, IdAndModel, Streaming, finish,
    normalise_body, role,
};

#[derive(Debug)]
pub struct Chat;

const PROMPT: Parameter = Parameter::Prompt(Shape::Array);

fn parameter(name: &[u8]) -> Parameter {
    use Parameter as P;
    match name {
        b"messages" => PROMPT,
        b"tools" => P::Tools,
        b"chat_template_kwargs" => P::ChatTemplateKwargs,
        b"top_logprobs" => P::Shaped(Shape::Integer),
        b"logprobs" | b"parallel_tool_calls" => P::Shaped(Shape::Boolean),
        b"tool_choice" => P::Shaped(Shape::StringOrObject),
        _ => P::generation(name),
    }
}

impl Endpoint for Chat {
    fn path(&self) -> &'static str {
        "/v1/chat/completions"
    }

    fn id_prefix(&self) -> &'static str {
        "chatcmpl-"
    }

    fn prompt_name(&self) -> &'static str {
        "messages"
    }

    fn parameter(&self, name: &[u8]) -> Parameter {
        parameter(name)
    }

    fn read<'a>(&self, body: &'a [u8]) -> Result<Request<'a>, ApiError> {
        Request::read(body, parameter, self.prompt_name(), messages::read)
    }

    /// In the order in which chat templates render them: tools before messages.
    fn prefix(&self) -> &'static [Parameter] {
        &[Parameter::Tools, PROMPT]
    }

    fn whole(
        &self,
        text: &[u8],
        id_and_model: &IdAndModel,
        asked: Asked,
        out: &mut Vec<u8>,
    ) -> Result<Option<Usage>, BodyFault> {
        normalise_body::<Chat>(text, id_and_model, asked.n, out)
    }

    fn streaming(&self) -> Option<&'static dyn Streaming> {
        Some(&Chat)
    }
}

impl ChoiceForm for Chat {
    const CHUNK: &'static str = "chat.completion.chunk";
    const WHOLE: &'static str = "chat.completion";
    const NO_ANSWER: &'static str = "no chat completion";
    type Gathered = message::Message;

    fn read(reader: &mut Reader<'_>, position: usize) -> Result<Choice, JsonError> {
        delta::read(reader, position)
    }

    fn read_whole(reader: &mut Reader<'_>, position: usize) -> Result<WholeChoice, JsonError> {
        delta::read_whole(reader, position)
    }

    fn edit(choice: &Choice, is_first: bool, data: &[u8], edits: &mut ChunkEdits) -> FastPath {
        role::once(choice, is_first, data, edits).max(finish::split_off(choice, edits))
    }

    fn write_as_chunk(choice: &WholeChoice, position: usize, text: &[u8], out: &mut Vec<u8>) {
        delta::write(choice, position, text, out);
    }
}
