//! Assembles a streamed answer into a whole one, for clients that did not ask for a stream.
//!
//! Texts, audio, call arguments, log probabilities and arrays are concatenated; of every other member the
//! last value that is not null counts. Texts are joined in their JSON form, so nothing is decoded and, after
//! the first chunk, an event only appends.

use std::marker::PhantomData;

use penstock_wire::json::Kind;

use super::empty;
use super::event::{Completeness, StreamEvent, StreamFault};
use super::form::{ChoiceForm, Gathered};
use super::id_and_model::IdAndModel;
use super::members::Members;
use super::progress::ChoiceProgress;
use super::streaming::Assembly;
use super::usage::Counts;
use crate::openai::{BackendFailure, Chunk, Field, Finish, Part, Usage, find};

#[derive(Debug)]
pub struct Assembler<F: ChoiceForm> {
    id_and_model: IdAndModel,
    /// Choices that were asked for.
    n: u32,
    progress: ChoiceProgress,
    chunk: Chunk,
    /// Pairs of index and choice, ordered by index.
    choices: Vec<(u32, F::Gathered)>,
    usage: Counts,
    /// All other top-level members of the chunks.
    rest: Members,
    /// Bytes of all that was gathered.
    size: usize,
    form: PhantomData<F>,
}

impl<F: ChoiceForm> Assembler<F> {
    pub fn new(id_and_model: IdAndModel, n: u32) -> Self {
        Assembler {
            id_and_model,
            n,
            progress: ChoiceProgress::of(n),
            chunk: Chunk::default(),
            choices: Vec::new(),
            usage: Counts::default(),
            rest: Members::default(),
            size: 0,
            form: PhantomData,
        }
    }

    fn add_choices(&mut self, data: &[u8]) -> Result<StreamEvent, StreamFault> {
        let (mut any, mut meaningful) = (false, false);
        for choice in &self.chunk.choices {
            if !self.progress.accepts(choice.index) {
                return Err(StreamFault);
            }
            if empty::is_droppable(choice, &self.progress) {
                continue;
            }
            any = true;
            self.progress.begin(choice.index);
            if matches!(choice.finish, Finish::Reason(_)) {
                self.progress.finish(choice.index);
                meaningful = true;
            }
            meaningful |= choice.has_output;
            let at = match self.choices.binary_search_by_key(&choice.index, |known| known.0) {
                Ok(at) => at,
                Err(at) => {
                    self.choices.insert(at, (choice.index, F::Gathered::default()));
                    at
                }
            };
            self.choices[at].1.add(choice, data, &mut self.size).map_err(|_| StreamFault)?;
        }
        Ok(if any { StreamEvent::Chunk { meaningful } } else { StreamEvent::Swallowed })
    }
}

impl<F: ChoiceForm> Assembly for Assembler<F> {
    fn event(&mut self, data: &[u8]) -> Result<StreamEvent, StreamFault> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(StreamEvent::KeepAlive);
        }
        if data == b"[DONE]" {
            return Ok(StreamEvent::Done);
        }
        if std::str::from_utf8(data).is_err() || self.chunk.read(data, F::read).is_err() {
            return Err(StreamFault);
        }
        if let Some(error) = find(&self.chunk.parts, Field::Error) {
            let failure = BackendFailure::of_error_value(data, error);
            return Ok(StreamEvent::Failure(Box::new(failure)));
        }
        self.usage.take(&self.chunk.parts, data)?;
        if find(&self.chunk.parts, Field::Choices).is_some_and(|value| value.kind != Kind::Array) {
            return Err(StreamFault);
        }
        for Part { field, start, value } in &self.chunk.parts {
            if matches!(field, Field::SystemFingerprint | Field::ServiceTier | Field::Other) {
                let key = data[*start..value.span.start].trim_ascii_end();
                let key = key[..key.len() - 1].trim_ascii_end();
                // Random padding that hides the length of tokens from eavesdroppers; meaningless in a whole answer.
                if key != b"\"obfuscation\"" {
                    self.rest.set(key, *value, data, &mut self.size);
                }
            }
        }
        self.add_choices(data)
    }

    fn size(&self) -> usize {
        self.size
    }

    fn completeness(&self) -> Completeness {
        self.progress.completeness(self.n)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.size + 256 * (1 + self.choices.len()));
        self.id_and_model.write_start(F::WHOLE, out);
        out.extend_from_slice(b"\"choices\":[");
        for (at, (index, choice)) in self.choices.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            choice.write(*index, out);
        }
        out.push(b']');
        let usage = self.usage.json();
        if !usage.is_empty() {
            out.extend_from_slice(b",\"usage\":");
            out.extend_from_slice(usage);
        }
        self.rest.write(&[], out);
        out.push(b'}');
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.read()
    }
}
