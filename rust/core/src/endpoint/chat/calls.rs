//! Tool calls of an assembled answer: the pieces of each call are joined by its index.

use penstock_wire::json::{JsonError, Kind, Reader, Value};

use crate::rules::TooMuch;
use crate::rules::members::{Members, each_member, quoted, separate};

/// Maximum number of calls; an answer with more is refused as garbage.
const MOST: usize = 1024;

const ID: &[u8] = b"\"id\"";
const TYPE: &[u8] = b"\"type\"";
const ARGUMENTS: &[u8] = b"\"arguments\"";

#[derive(Debug)]
struct Call {
    index: u64,
    /// All members but the function.
    members: Members,
    function: Members,
}

#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the `tool_calls` of a delta.
    pub(super) fn add(
        &mut self,
        value: Value,
        text: &[u8],
        size: &mut usize,
    ) -> Result<(), TooMuch> {
        if value.kind != Kind::Array {
            return Ok(());
        }
        let mut result = Ok(());
        let inner = value.span.of(text);
        // Cannot fail: it was validated with its chunk.
        let _ = Reader::new(inner).array(|reader, position| {
            let call = reader.value()?;
            if call.kind == Kind::Object && result.is_ok() {
                result = self.add_call(position as u64, call.span.of(inner), size);
            }
            Ok::<(), JsonError>(())
        });
        result
    }

    /// `position` is used as the index if there is none.
    fn add_call(&mut self, position: u64, text: &[u8], size: &mut usize) -> Result<(), TooMuch> {
        let (mut index, mut id, mut is_named) = (position, None, false);
        each_member(text, |key, value| match &*key.name() {
            b"index" => index = value.as_u64(text).unwrap_or(index),
            b"id" => id = Some(value).filter(|id| id.kind == Kind::String && !id.is_empty(text)),
            b"function" if value.kind == Kind::Object => {
                let function = value.span.of(text);
                each_member(function, |key, value| {
                    is_named |= key.is("name") && !value.is_empty(function);
                });
            }
            _ => {}
        });
        let call = self.find(index, |call| {
            // One server gives every call the index 0; a different id together with a name starts a new call.
            is_named && id.is_some_and(|id| call.members.differs(ID, id.span.of(text)))
        });
        let call = call.ok_or(TooMuch)?;
        each_member(text, |key, value| match &*key.name() {
            b"id" => call.members.set_once(ID, value, text, size),
            b"type" => call.members.set_once(TYPE, value, text, size),
            b"function" if value.kind == Kind::Object => {
                add_function(&mut call.function, value.span.of(text), size);
            }
            // A function that is not an object is ignored.
            b"index" | b"function" => {}
            _ => call.members.set(quoted(&key, text), value, text, size),
        });
        Ok(())
    }

    /// The last call of that index, or a new one after those with a lower or the same index.
    fn find(&mut self, index: u64, is_another: impl FnOnce(&Call) -> bool) -> Option<&mut Call> {
        let behind = self.0.iter().rposition(|call| call.index <= index).map_or(0, |at| at + 1);
        let known =
            behind > 0 && self.0[behind - 1].index == index && !is_another(&self.0[behind - 1]);
        if known {
            return self.0.get_mut(behind - 1);
        }
        if self.0.len() >= MOST {
            return None;
        }
        let (members, function) = (Members::default(), Members::default());
        self.0.insert(behind, Call { index, members, function });
        self.0.get_mut(behind)
    }

    /// Appends the array. In whole answers, calls have no `index`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, call) in self.0.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
            if call.function.is_empty() || call.members.has_value(TYPE) {
                call.members.write(&[], out);
            } else {
                call.members.write(&[TYPE], out);
                separate(out);
                out.extend_from_slice(b"\"type\":\"function\"");
            }
            if !call.function.is_empty() {
                separate(out);
                out.extend_from_slice(b"\"function\":");
                write_function(&call.function, out);
            }
            out.push(b'}');
        }
        out.push(b']');
    }
}

/// Adds a piece of a called function: its `arguments` are joined.
pub(super) fn add_function(function: &mut Members, text: &[u8], size: &mut usize) {
    each_member(text, |key, value| match &*key.name() {
        b"name" => function.set_once(b"\"name\"", value, text, size),
        b"arguments" => function.append(ARGUMENTS, value, text, size),
        _ => function.set(quoted(&key, text), value, text, size),
    });
}

/// Appends a called function. `arguments` is always present, because clients parse it without a check.
pub(super) fn write_function(function: &Members, out: &mut Vec<u8>) {
    out.push(b'{');
    function.write(&[ARGUMENTS], out);
    separate(out);
    out.extend_from_slice(ARGUMENTS);
    out.push(b':');
    if !function.write_value(ARGUMENTS, out) {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'}');
}
