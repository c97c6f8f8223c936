//! A streamed chat answer put together into a whole one, for clients that asked for no stream.
//!
//! Texts of the answer, sound, arguments of calls, log probabilities and arrays of deltas grow; of
//! everything else the last value that is not null counts. Texts are joined as they stand in JSON, so nothing is decoded, and
//! after the first chunk an event only appends to what is there.

use penstock_wire::json::Kind;

use super::identity::Identity;
use super::members::Members;
use super::message::Message;
use super::progress::ChoiceProgress;
use super::stream::{StreamEvent, StreamFault};
use crate::openai::{BackendFailure, Chunk, Field, Finish, MAX_CHOICES, Part, Usage, find};

#[derive(Debug)]
pub struct Assembler {
    identity: Identity,
    /// How many choices were asked for.
    n: u32,
    progress: ChoiceProgress,
    chunk: Chunk,
    /// In the order of their indices.
    choices: Vec<Message>,
    /// The last `usage` object seen, as it came.
    usage: Vec<u8>,
    /// What else stands at the top of the chunks.
    rest: Members,
    /// Bytes of all that was gathered.
    size: usize,
}

impl Assembler {
    pub fn new(identity: Identity, n: u32) -> Self {
        Assembler {
            identity,
            n,
            progress: ChoiceProgress::default(),
            chunk: Chunk::default(),
            choices: Vec::new(),
            usage: Vec::new(),
            rest: Members::default(),
            size: 0,
        }
    }

    /// Takes the data of one event. [`StreamEvent::Chunk`]: something was added.
    pub fn event(&mut self, data: &[u8]) -> Result<StreamEvent, StreamFault> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(StreamEvent::KeepAlive);
        }
        if data == b"[DONE]" {
            return Ok(StreamEvent::Done);
        }
        if std::str::from_utf8(data).is_err() || self.chunk.read(data).is_err() {
            return Err(StreamFault);
        }
        if let Some(error) = find(&self.chunk.parts, Field::Error) {
            return Ok(StreamEvent::Failure(BackendFailure::of_error_value(data, error)));
        }
        if let Some(usage) = find(&self.chunk.parts, Field::Usage) {
            if usage.kind != Kind::Object {
                return Err(StreamFault);
            }
            self.usage.clear();
            self.usage.extend_from_slice(usage.span.of(data));
        }
        if find(&self.chunk.parts, Field::Choices).is_some_and(|value| value.kind != Kind::Array) {
            return Err(StreamFault);
        }
        for Part { field, start, value } in &self.chunk.parts {
            if matches!(field, Field::SystemFingerprint | Field::ServiceTier | Field::Other) {
                let key = data[*start..value.span.start].trim_ascii_end();
                let key = key[..key.len() - 1].trim_ascii_end();
                // Padding that hides how long each event is.
                if key != b"\"obfuscation\"" {
                    self.rest.set(key, *value, data, &mut self.size);
                }
            }
        }
        self.add_choices(data)
    }

    fn add_choices(&mut self, data: &[u8]) -> Result<StreamEvent, StreamFault> {
        let (mut any, mut meaningful) = (false, false);
        for choice in &self.chunk.choices {
            if u64::from(choice.index) >= MAX_CHOICES {
                return Err(StreamFault);
            }
            if self.progress.is_droppable(choice) {
                continue;
            }
            any = true;
            self.progress.begin(choice.index);
            if matches!(choice.finish, Finish::Reason(_)) {
                self.progress.finish(choice.index);
                meaningful = true;
            }
            meaningful |= choice.says_something;
            let at = match self.choices.binary_search_by_key(&choice.index, |known| known.index) {
                Ok(at) => at,
                Err(at) => {
                    self.choices.insert(at, Message::new(choice.index));
                    at
                }
            };
            self.choices[at].add(choice, data, &mut self.size).map_err(|_| StreamFault)?;
        }
        Ok(if any { StreamEvent::Chunk { meaningful } } else { StreamEvent::Swallowed })
    }

    /// Bytes of the answer that are held, about as many as the answer will have.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether every choice that was asked for, and every one that was begun, has finished.
    pub fn is_complete(&self) -> bool {
        self.progress.is_complete(self.n)
    }

    /// Whether at least one choice was begun and all that were have finished.
    pub fn has_finished_all_begun(&self) -> bool {
        self.progress.has_finished_all_begun()
    }

    pub fn choices_begun(&self) -> u32 {
        self.progress.choices_begun()
    }

    /// Appends the whole answer. Only to be called once [`Self::is_complete`].
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.size + 256 * (1 + self.choices.len()));
        self.identity.write_start("chat.completion", out);
        out.extend_from_slice(b"\"choices\":[");
        for (at, choice) in self.choices.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            choice.write(out);
        }
        out.push(b']');
        if !self.usage.is_empty() {
            out.extend_from_slice(b",\"usage\":");
            out.extend_from_slice(&self.usage);
        }
        self.rest.write(&[], out);
        out.push(b'}');
    }

    /// The token counts, if the backend has reported any.
    pub fn usage(&self) -> Option<Usage> {
        Usage::read(&self.usage).ok()
    }
}
