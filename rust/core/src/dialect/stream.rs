//! The normaliser of streamed chat answers: P1, P6, P7, P12, and what P13 and P14 need to know.

use std::io::Write;

use penstock_wire::json::{Cutter, Edits, Kind, Span};

use super::identity::{Identity, UsageRule};
use super::progress::ChoiceProgress;
use super::rule::{Rule, RuleCounts};
use super::template::Template;
use crate::openai::{
    BackendFailure, Choice, Chunk, Delta, Field, Finish, MAX_CHOICES, Role, Usage, find,
    write_server,
};

/// What one event was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// Nothing for the client.
    Swallowed,
    /// No data: it only says that the connection is alive.
    KeepAlive,
    /// Output was appended. `meaningful`: it is (part of) the answer.
    Chunk { meaningful: bool },
    /// `[DONE]`.
    Done,
    /// The backend reports a failure in the stream.
    Failure(BackendFailure),
}

/// The event is not what a chat stream may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a chat completion chunk")]
pub struct StreamFault;

const OBJECT: &str = "chat.completion.chunk";

#[derive(Debug)]
pub struct StreamNormaliser {
    identity: Identity,
    /// The client asked for the usage chunk.
    include_usage: bool,
    /// How many choices were asked for.
    n: u32,
    /// A choice begins when its role has been said.
    progress: ChoiceProgress,
    /// The last `usage` object seen, as it came.
    usage: Vec<u8>,
    /// What the chunks say about the server, as [`write_server`] has it.
    server: Vec<u8>,
    chunk: Chunk,
    edits: Edits,
    /// The last chunk that merely added text to a choice that goes on.
    template: Template,
    /// Choices of the current chunk whose text came with the finish reason: index, reason.
    split: Vec<(u32, Span)>,
    rules: RuleCounts,
}

impl StreamNormaliser {
    pub fn new(identity: Identity, n: u32, include_usage: bool) -> Self {
        StreamNormaliser {
            identity,
            include_usage,
            n,
            progress: ChoiceProgress::default(),
            usage: Vec::new(),
            server: Vec::new(),
            chunk: Chunk::default(),
            edits: Edits::default(),
            template: Template::default(),
            split: Vec::new(),
            rules: RuleCounts::default(),
        }
    }

    /// Takes the data of one event and appends what the client gets of it, as strict SSE.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<StreamEvent, StreamFault> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(StreamEvent::KeepAlive);
        }
        if data == b"[DONE]" {
            return Ok(StreamEvent::Done);
        }
        if let Some(text) = self.template.text_in(data) {
            self.template.write(text, out);
            return Ok(StreamEvent::Chunk { meaningful: true });
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

    fn choices(
        &mut self,
        array: Span,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<StreamEvent, StreamFault> {
        self.edits.clear();
        self.split.clear();
        let rules = self.rules;
        let mut cutter = Cutter::new(array.start);
        let mut meaningful = false;
        let count = self.chunk.choices.len();
        for at in 0..count {
            let choice = self.chunk.choices[at];
            if u64::from(choice.index) >= MAX_CHOICES {
                return Err(StreamFault);
            }
            if self.progress.is_droppable(&choice) {
                self.rules.hit(Rule::P6);
                cutter.cut(choice.span.end, &mut self.edits);
            } else {
                cutter.keep(choice.span.start, choice.span.end, &mut self.edits);
                meaningful |= choice.says_something || matches!(choice.finish, Finish::Reason(_));
                self.edit_choice(&choice, data);
            }
        }
        if !cutter.any_kept() {
            return Ok(StreamEvent::Swallowed);
        }
        let usage = if self.include_usage { UsageRule::Null } else { UsageRule::Cut };
        if find(&self.chunk.parts, Field::Usage).is_some() {
            self.rules.hit(Rule::P7);
        }
        let Chunk { object, parts, .. } = &self.chunk;
        self.identity.edit(*object, parts, OBJECT, usage, data, &mut self.edits);
        let whole = out.len();
        out.extend_from_slice(b"data: ");
        // One event, one line: an LF between members would end the line early (WHATWG §9.2.6).
        let start = out.len();
        self.edits.apply(data, out);
        blank_line_breaks(&mut out[start..]);
        out.extend_from_slice(b"\n\n");
        if !self.split.is_empty() {
            self.write_finish_chunk(data, out);
        }
        // A role, or a rule that had something to do, would be another matter for the next chunk.
        if let [Choice { finish: Finish::Open, role: Role::Absent, said: Some(said), .. }] =
            self.chunk.choices[..]
            && self.rules == rules
        {
            let text = Span { start: said.start + 1, end: said.end - 1 };
            self.template.learn(data, text, &self.edits, &out[whole..], start - whole);
        }
        Ok(StreamEvent::Chunk { meaningful })
    }

    fn edit_choice(&mut self, choice: &Choice, data: &[u8]) {
        let first = self.progress.begin(choice.index);
        self.edit_role(choice, first, data);
        if let Finish::Reason(reason) = choice.finish {
            self.progress.finish(choice.index);
            self.template.forget();
            if choice.says_something {
                self.edits.replace(reason, |out| out.extend_from_slice(b"null"));
                self.split.push((choice.index, reason));
                self.rules.hit(Rule::P6);
            }
        }
    }

    /// P6: the role is said once per choice, in its first chunk.
    fn edit_role(&mut self, choice: &Choice, first: bool, data: &[u8]) {
        let said: &[u8] = if first { b"{\"role\":\"assistant\"}" } else { b"{}" };
        let delta = match choice.delta {
            Delta::Object(span) => span,
            Delta::Odd(span) => {
                return self.edits.replace(span, |out| out.extend_from_slice(said));
            }
            Delta::Missing => {
                // The choice has at least its finish reason, so a comma is due.
                return self.edits.insert(choice.span.start + 1, |out| {
                    out.extend_from_slice(b"\"delta\":");
                    out.extend_from_slice(said);
                    out.push(b',');
                });
            }
        };
        if matches!((first, choice.role), (true, Role::Given(..)) | (false, Role::Absent)) {
            return;
        }
        self.rules.hit(Rule::P6);
        match (first, choice.role) {
            (true, Role::Given(..)) | (false, Role::Absent) => {}
            (true, Role::Odd(_, value)) => {
                self.edits.replace(value, |out| out.extend_from_slice(b"\"assistant\""));
            }
            (true, Role::Absent) => self.edits.insert(delta.start + 1, |out| {
                out.extend_from_slice(b"\"role\":\"assistant\"");
                if choice.more_than_role {
                    out.push(b',');
                }
            }),
            (false, Role::Given(start, value) | Role::Odd(start, value)) => {
                self.edits.remove(member_with_comma(data, start, value.end));
            }
        }
    }

    /// P6: a chunk of its own for the finish reasons that came together with text.
    fn write_finish_chunk(&self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        self.identity.write_chunk_start(&self.server, out);
        for (at, (index, reason)) in self.split.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            // Writing to a Vec cannot fail.
            let _ = write!(out, "{comma}{{\"index\":{index},\"delta\":{{}},\"finish_reason\":");
            out.extend_from_slice(reason.of(data));
            out.push(b'}');
        }
        out.extend_from_slice(if self.include_usage {
            b"],\"usage\":null}\n\n"
        } else {
            b"]}\n\n"
        });
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

    /// P7 and P12: the usage chunk, if it was asked for and known, and `[DONE]`. Only to be called
    /// once [`Self::is_complete`].
    pub fn finish(&self, out: &mut Vec<u8>) {
        if self.include_usage && !self.usage.is_empty() {
            out.extend_from_slice(b"data: ");
            let start = out.len();
            self.identity.write_chunk_start(&self.server, out);
            out.extend_from_slice(b"],\"usage\":");
            out.extend_from_slice(&self.usage);
            blank_line_breaks(&mut out[start..]);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    pub fn rules(&self) -> RuleCounts {
        self.rules
    }

    /// The token counts, if the backend has reported any.
    pub fn usage(&self) -> Option<Usage> {
        Usage::read(&self.usage).ok()
    }
}

/// A member's range and one comma beside it.
fn member_with_comma(text: &[u8], start: usize, end: usize) -> Span {
    let before = text[..start].trim_ascii_end().len();
    if text[..before].ends_with(b",") {
        return Span { start: before - 1, end };
    }
    let blanks = text[end..].len() - text[end..].trim_ascii_start().len();
    if text[end + blanks..].starts_with(b",") {
        return Span { start, end: end + blanks + 1 };
    }
    Span { start, end }
}

/// Line breaks can stand only between tokens of valid JSON, where a space means the same.
fn blank_line_breaks(text: &mut [u8]) {
    while let Some(at) = memchr::memchr2(b'\n', b'\r', text) {
        text[at] = b' ';
    }
}

#[cfg(test)]
mod tests;
