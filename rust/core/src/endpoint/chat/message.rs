//! One choice of an assembled answer: its message and the other members.

use std::io::Write;

use penstock_wire::json::Kind;

use super::calls::{Calls, add_function, write_function};
use crate::openai::{Choice, Delta, Finish, Role};
use crate::rules::members::{Members, each_member, quoted};
use crate::rules::{Gathered, TooMuch};

const CONTENT: &[u8] = b"\"content\"";
const REFUSAL: &[u8] = b"\"refusal\"";
const FUNCTION_CALL: &[u8] = b"\"function_call\"";
const AUDIO: &[u8] = b"\"audio\"";

#[derive(Debug, Default)]
pub struct Message {
    /// The role as JSON; empty: none was given.
    role: Vec<u8>,
    /// Content, reasoning, refusal, and all members of the deltas but role and calls.
    members: Members,
    calls: Calls,
    /// `function_call`, the older form of a single tool call.
    function: Members,
    /// `audio`: its data and transcript are joined.
    audio: Members,
    /// `None`: no chunk had the member.
    logprobs: Option<Members>,
    /// The finish reason as JSON; empty: the choice continues.
    finish: Vec<u8>,
    /// All other members of the choice.
    rest: Members,
}

impl Gathered for Message {
    fn add(&mut self, choice: &Choice, text: &[u8], size: &mut usize) -> Result<(), TooMuch> {
        if let Role::Given(_, role) = choice.role
            && self.role.is_empty()
            && role.of(text) != b"\"\""
        {
            self.role.extend_from_slice(role.of(text));
        }
        if let Finish::Reason(reason) = choice.finish {
            self.finish.extend_from_slice(reason.of(text));
        }
        let own = choice.span.of(text);
        each_member(own, |key, value| match &*key.name() {
            // Ignored: some servers repeat the whole message next to each delta.
            b"index" | b"delta" | b"message" | b"finish_reason" => {}
            b"logprobs" => {
                let logprobs = self.logprobs.get_or_insert_default();
                if value.kind == Kind::Object {
                    let inner = value.span.of(own);
                    each_member(inner, |key, value| {
                        logprobs.append_array(quoted(&key, inner), value, inner, size);
                    });
                }
            }
            // An extension of vLLM: the tokens of this chunk, so the arrays are joined.
            b"token_ids" => self.rest.append_array(b"\"token_ids\"", value, own, size),
            _ => self.rest.set(quoted(&key, own), value, own, size),
        });
        match choice.delta {
            Delta::Object(delta) => self.add_delta(delta.of(text), size),
            Delta::Missing | Delta::Odd(_) => Ok(()),
        }
    }

    fn write(&self, index: u32, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{{\"index\":{index},\"message\":{{\"role\":");
        out.extend_from_slice(if self.role.is_empty() { b"\"assistant\"" } else { &self.role });
        out.extend_from_slice(b",\"content\":");
        self.write_content(out);
        let or_content = |key, is_apart| if is_apart { key } else { CONTENT };
        let function = or_content(FUNCTION_CALL, !self.function.is_empty());
        let audio = or_content(AUDIO, !self.audio.is_empty());
        self.members.write(&[CONTENT, function, audio], out);
        if !self.function.is_empty() {
            out.extend_from_slice(b",\"function_call\":");
            write_function(&self.function, out);
        }
        if !self.audio.is_empty() {
            out.extend_from_slice(b",\"audio\":{");
            self.audio.write(&[], out);
            out.push(b'}');
        }
        if !self.calls.is_empty() {
            out.extend_from_slice(b",\"tool_calls\":");
            self.calls.write(out);
        }
        out.push(b'}');
        if let Some(logprobs) = &self.logprobs {
            out.extend_from_slice(b",\"logprobs\":");
            if logprobs.is_empty() {
                out.extend_from_slice(b"null");
            } else {
                out.push(b'{');
                logprobs.write(&[], out);
                out.push(b'}');
            }
        }
        out.extend_from_slice(b",\"finish_reason\":");
        out.extend_from_slice(&self.finish);
        self.rest.write(&[], out);
        out.push(b'}');
    }
}

impl Message {
    fn add_delta(&mut self, text: &[u8], size: &mut usize) -> Result<(), TooMuch> {
        let mut result = Ok(());
        each_member(text, |key, value| match &*key.name() {
            b"role" => {}
            b"content" => self.members.append(CONTENT, value, text, size),
            b"reasoning_content" | b"reasoning" | b"refusal" => {
                self.members.append(quoted(&key, text), value, text, size);
            }
            b"tool_calls" => {
                if result.is_ok() {
                    result = self.calls.add(value, text, size);
                }
            }
            b"function_call" if value.kind == Kind::Object => {
                add_function(&mut self.function, value.span.of(text), size);
            }
            b"audio" if value.kind == Kind::Object => {
                add_audio(&mut self.audio, value.span.of(text), size);
            }
            _ => self.members.append_array(quoted(&key, text), value, text, size),
        });
        result
    }

    /// Null if there are calls or a refusal but no content, as in whole answers; otherwise always a string,
    /// which clients rely on.
    fn write_content(&self, out: &mut Vec<u8>) {
        let calls = !self.calls.is_empty() || !self.function.is_empty();
        if self.members.has_value(CONTENT) {
            self.members.write_value(CONTENT, out);
        } else if calls || self.members.has_value(REFUSAL) {
            out.extend_from_slice(b"null");
        } else {
            out.extend_from_slice(b"\"\"");
        }
    }
}

/// Adds a piece of an audio answer: its data and transcript are joined (`OpenAI`'s API reference).
fn add_audio(audio: &mut Members, text: &[u8], size: &mut usize) {
    each_member(text, |key, value| match &*key.name() {
        b"data" | b"transcript" => audio.append(quoted(&key, text), value, text, size),
        _ => audio.set(quoted(&key, text), value, text, size),
    });
}
