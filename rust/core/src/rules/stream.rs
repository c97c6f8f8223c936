//! Normalises a stream of chunks: applies the rules in order, or skips them for a chunk that matches the template
//! of the one before.

use std::marker::PhantomData;

use penstock_wire::json::{Kind, MemberFilter, Span};

use super::count::{Rule, RuleCounts};
use super::event::{Completeness, StreamEvent, StreamFault};
use super::form::{ChoiceForm, ChunkEdits};
use super::id_and_model::{Envelope, IdAndModel};
use super::progress::ChoiceProgress;
use super::streaming::{Asked, StreamRules};
use super::template::{FastPath, Template};
use super::usage::Counts;
use super::{empty, finish};
use crate::openai::{BackendFailure, Choice, Chunk, Field, Finish, Usage, find, write_server};

#[derive(Debug)]
pub struct StreamNormaliser<F> {
    id_and_model: IdAndModel,
    asked: Asked,
    progress: ChoiceProgress,
    usage: Counts,
    /// The members of the chunks that describe the server, from [`write_server`].
    server: Vec<u8>,
    chunk: Chunk,
    edits: ChunkEdits,
    /// The last chunk that only added text to a choice that continues.
    template: Template,
    form: PhantomData<F>,
}

impl<F: ChoiceForm> StreamNormaliser<F> {
    const ENVELOPE: Envelope = Envelope { object: F::CHUNK, is_named: true };

    pub fn new(id_and_model: IdAndModel, asked: Asked) -> Self {
        StreamNormaliser {
            id_and_model,
            asked,
            progress: ChoiceProgress::of(asked.n),
            usage: Counts::default(),
            server: Vec::new(),
            chunk: Chunk::default(),
            edits: ChunkEdits::default(),
            template: Template::default(),
            form: PhantomData,
        }
    }

    /// Handles an event that does not match the template.
    #[inline(never)] // keeps the code of the fast path small
    fn read(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<StreamEvent, StreamFault> {
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
        if self.server.is_empty() {
            write_server(&self.chunk.parts, data, &mut self.server);
        }
        match find(&self.chunk.parts, Field::Choices) {
            Some(value) if value.kind != Kind::Array => Err(StreamFault),
            _ if self.chunk.choices.is_empty() => Ok(StreamEvent::Swallowed),
            Some(value) => self.choices(value.span, data, out),
            None => Ok(StreamEvent::Swallowed),
        }
    }

    /// Applies the rules to a chunk with choices, in the order of the module's documentation.
    fn choices(
        &mut self,
        array: Span,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<StreamEvent, StreamFault> {
        self.edits.clear();
        let mut fast = FastPath::Kept;
        let mut choices = MemberFilter::new(array.start);
        let mut meaningful = false;
        for choice in &self.chunk.choices {
            if !self.progress.accepts(choice.index) {
                return Err(StreamFault);
            }
            if empty::is_droppable(choice, &self.progress) {
                self.edits.counts.hit(Rule::P6);
                choices.remove(choice.span.end, &mut self.edits.edits);
                fast = fast.max(empty::DROPPED);
                continue;
            }
            choices.keep(choice.span.start, choice.span.end, &mut self.edits.edits);
            meaningful |= choice.has_output || matches!(choice.finish, Finish::Reason(_));
            let is_first = self.progress.begin(choice.index);
            fast = fast.max(F::edit(choice, is_first, data, &mut self.edits));
            if matches!(choice.finish, Finish::Reason(_)) {
                self.progress.finish(choice.index);
            }
        }
        if !choices.any_kept() {
            return Ok(StreamEvent::Swallowed);
        }
        let Chunk { object, parts, .. } = &self.chunk;
        let ChunkEdits { edits, counts, split } = &mut self.edits;
        let (usage, at_usage) = Counts::place(parts, self.asked.include_usage, counts);
        self.id_and_model.edit(*object, parts, Self::ENVELOPE, usage, data, edits);
        let whole = out.len();
        out.extend_from_slice(b"data: ");
        // One event is one line: a line feed between members would end it early (WHATWG HTML §9.2.6).
        let start = out.len();
        edits.apply(data, out);
        blank_line_breaks(&mut out[start..]);
        out.extend_from_slice(b"\n\n");
        if !split.is_empty() {
            self.write_finish_chunk(data, out);
        }
        match fast.max(at_usage) {
            FastPath::Kept => self.learn(data, &out[whole..], start - whole),
            FastPath::Passed => {}
            FastPath::Ended => self.template.forget(),
        }
        Ok(StreamEvent::Chunk { meaningful })
    }

    /// Makes a chunk the template if it adds one text to one choice. `output`: the normalised event; its JSON begins
    /// at `start`.
    fn learn(&mut self, data: &[u8], output: &[u8], start: usize) {
        if let [Choice { last_text: Some(last), .. }] = self.chunk.choices[..] {
            let text = Span { start: last.start + 1, end: last.end - 1 };
            self.template.learn(data, text, &self.edits.edits, output, start);
        }
    }

    /// Appends an extra chunk with the finish reasons that came together with text.
    fn write_finish_chunk(&self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        self.id_and_model.write_chunk_start(F::CHUNK, &self.server, out);
        finish::write_choices(&self.edits.split, data, out);
        out.extend_from_slice(if self.asked.include_usage {
            b"],\"usage\":null}\n\n"
        } else {
            b"]}\n\n"
        });
    }
}

impl<F: ChoiceForm> StreamRules for StreamNormaliser<F> {
    fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<StreamEvent, StreamFault> {
        // Fast path: a chunk that matches the template needs no trimming and no parsing.
        if let Some(text) = self.template.text_in(data) {
            self.template.write(text, out);
            return Ok(StreamEvent::Chunk { meaningful: true });
        }
        self.read(data.trim_ascii(), out)
    }

    fn completeness(&self) -> Completeness {
        self.progress.completeness(self.asked.n)
    }

    /// P7 and P12: appends the usage chunk, if it was asked for and reported, and `[DONE]`.
    fn finish(&self, out: &mut Vec<u8>) {
        let usage = self.usage.json();
        if self.asked.include_usage && !usage.is_empty() {
            out.extend_from_slice(b"data: ");
            let start = out.len();
            self.id_and_model.write_chunk_start(F::CHUNK, &self.server, out);
            out.extend_from_slice(b"],\"usage\":");
            out.extend_from_slice(usage);
            blank_line_breaks(&mut out[start..]);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn counts(&self) -> RuleCounts {
        self.edits.counts
    }

    fn usage(&self) -> Option<Usage> {
        self.usage.read()
    }
}

/// Replaces line breaks with spaces. In valid JSON they occur only between tokens, where both mean the same.
fn blank_line_breaks(text: &mut [u8]) {
    while let Some(at) = memchr::memchr2(b'\n', b'\r', text) {
        text[at] = b' ';
    }
}

#[cfg(test)]
mod tests;
