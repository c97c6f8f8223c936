//! `POST /v1/embeddings`: turns texts into vectors; never streamed.

use penstock_wire::json::{Edits, JsonError, Kind, Reader, Value};

use super::{Endpoint, Parameter, Prompt, Request, Shape};
use crate::openai::{ApiError, BackendFailure, Code, Field, Part, Usage, find};
use crate::rules::usage::UsageRule;
use crate::rules::{Asked, BodyFault, Envelope, IdAndModel, Streaming, usage_of};

#[derive(Debug)]
pub struct Embeddings;

const INPUT_NAME: &str = "input";
const OBJECT: &str = "list";
const ENVELOPE: Envelope = Envelope { object: OBJECT, is_named: false };

fn parameter(name: &[u8]) -> Parameter {
    match name {
        b"input" => Parameter::Prompt(Shape::StringOrArray),
        b"encoding_format" => Parameter::Shaped(Shape::String),
        b"dimensions" => Parameter::Shaped(Shape::Integer),
        _ => Parameter::common(name),
    }
}

impl Endpoint for Embeddings {
    fn path(&self) -> &'static str {
        "/v1/embeddings"
    }

    fn id_prefix(&self) -> &'static str {
        "embd-"
    }

    fn prompt_name(&self) -> &'static str {
        INPUT_NAME
    }

    fn parameter(&self, name: &[u8]) -> Parameter {
        parameter(name)
    }

    fn read<'a>(&self, body: &'a [u8]) -> Result<Request<'a>, ApiError> {
        let read_input = |reader: &mut Reader<'_>| Prompt::read(reader, INPUT_NAME);
        let request = Request::read(body, parameter, INPUT_NAME, read_input)?;
        if request.stream {
            let message = "'stream' must be false: embeddings are not streamed";
            return Err(ApiError::new(Code::InvalidValue, message).param("stream"));
        }
        Ok(request)
    }

    /// Empty: the prefix cache is used only for generation.
    fn prefix(&self) -> &'static [Parameter] {
        &[]
    }

    fn generates(&self) -> bool {
        false
    }

    /// Vectors are passed on unchanged, as numbers or base64. There must be exactly one for each input.
    fn whole(
        &self,
        text: &[u8],
        id_and_model: &IdAndModel,
        asked: Asked,
        out: &mut Vec<u8>,
    ) -> Result<Option<Usage>, BodyFault> {
        let garbage = |detail| BodyFault::Garbage { detail };
        if simdutf8::basic::from_utf8(text).is_err() {
            return Err(garbage("no embeddings"));
        }
        let mut items = Items::of(asked.n);
        let mut parts = Vec::with_capacity(8);
        let mut reader = Reader::new(text);
        let object = reader.object(|reader, key| {
            let start = key.start;
            let value = if key.is("data") && reader.kind()? == Kind::Array {
                items.read(reader)?
            } else {
                reader.value()?
            };
            parts.push(Part { field: Field::of(&key), start, value });
            Ok::<(), JsonError>(())
        });
        let object = object.and_then(|object| reader.end().map(|()| object));
        let object = object.map_err(|_| garbage("no embeddings"))?;
        if let Some(error) = find(&parts, Field::Error) {
            return Err(BodyFault::Failure(BackendFailure::of_error_value(text, error)));
        }
        let kind = find(&parts, Field::Object).map(|value| value.raw_str(text));
        if kind.is_some_and(|kind| kind != Some(OBJECT.as_bytes())) {
            return Err(garbage("no embeddings"));
        }
        if !items.are_complete() {
            return Err(garbage("not one embedding for each input"));
        }
        let mut edits = Edits::default();
        id_and_model.edit(object, &parts, ENVELOPE, UsageRule::Keep, text, &mut edits);
        edits.apply(text, out);
        Ok(usage_of(&parts, text))
    }

    fn streaming(&self) -> Option<&'static dyn Streaming> {
        None
    }
}

/// Which of the inputs have a vector.
struct Items {
    seen: Vec<bool>,
    missing: usize,
    /// Some item is not an object with a vector, has an index out of range, or repeats an index.
    is_odd: bool,
}

impl Items {
    fn of(inputs: u32) -> Self {
        let inputs = inputs as usize;
        Items { seen: vec![false; inputs], missing: inputs, is_odd: false }
    }

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Value, JsonError> {
        // A duplicate key: the last array counts.
        *self = Items::of(self.seen.len() as u32);
        let text = reader.text();
        let span = reader.array(|reader, _| {
            if reader.kind()? != Kind::Object {
                self.is_odd = true;
                return reader.value().map(|_| ());
            }
            let (mut index, mut has_vector) = (None, false);
            reader.object(|reader, key| {
                let value = reader.value()?;
                if key.is("index") {
                    index = value.as_u64(text);
                } else if key.is("embedding") {
                    let is_vector = matches!(value.kind, Kind::Array | Kind::String);
                    has_vector = is_vector && !value.is_empty(text);
                }
                Ok::<(), JsonError>(())
            })?;
            self.add(index.filter(|_| has_vector));
            Ok::<(), JsonError>(())
        })?;
        Ok(Value { kind: Kind::Array, span })
    }

    fn add(&mut self, index: Option<u64>) {
        let at = index.and_then(|index| usize::try_from(index).ok());
        match at.and_then(|at| self.seen.get_mut(at)) {
            Some(seen) if !*seen => {
                *seen = true;
                self.missing -= 1;
            }
            _ => self.is_odd = true,
        }
    }

    fn are_complete(&self) -> bool {
        self.missing == 0 && !self.is_odd
    }
}
