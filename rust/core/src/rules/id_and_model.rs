//! P1: puts the model name that the client asked for, one id and one creation time on every chunk and answer.

use penstock_wire::decimal::write_decimal;
use penstock_wire::json::{Edits, MemberFilter, Span, write_string};

use super::usage::UsageRule;
use crate::openai::{Field, Part};

/// The id, creation time and model name of an answer, concatenated as JSON values ready to be copied.
#[derive(Debug, Clone)]
pub struct IdAndModel {
    text: Vec<u8>,
    /// End of the id, and of the time.
    ends: [usize; 2],
}

/// What the top level of an answer must look like.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    /// Its `object`.
    pub object: &'static str,
    /// `id` and `created` are added if missing; otherwise they are only replaced.
    pub is_named: bool,
}

impl IdAndModel {
    /// `id`: the answer's id; `created`: seconds since 1970; `model`: the name the client asked for.
    pub fn new(id: &str, created: u64, model: &str) -> Self {
        let mut text = Vec::with_capacity(id.len() + model.len() + 24);
        write_string(id, &mut text);
        let id = text.len();
        write_decimal(created, &mut text);
        let created = text.len();
        write_string(model, &mut text);
        IdAndModel { text, ends: [id, created] }
    }

    fn id(&self) -> &[u8] {
        &self.text[..self.ends[0]]
    }

    fn created(&self) -> &[u8] {
        &self.text[self.ends[0]..self.ends[1]]
    }

    fn model(&self) -> &[u8] {
        &self.text[self.ends[1]..]
    }

    /// Edits the top level of an answer: sets id, time and model, applies the rule for `usage`, and removes
    /// `error: null` (one client library fails if the key is present). Fast path: always kept.
    pub(crate) fn edit(
        &self,
        object: Span,
        parts: &[Part],
        envelope: Envelope,
        usage: UsageRule,
        text: &[u8],
        edits: &mut Edits,
    ) {
        let mut members = MemberFilter::new(object.start);
        let Envelope { object: kind, is_named } = envelope;
        let mut has = [!is_named, false, !is_named, false];
        let mut has_usage = false;
        for part in parts {
            let span = part.value.span;
            let fresh: Option<&[u8]> = match part.field {
                Field::Id => Some(self.id()),
                Field::Created => Some(self.created()),
                Field::Model => Some(self.model()),
                Field::Object => {
                    has[1] = true;
                    if part.value.raw_str(text) != Some(kind.as_bytes()) {
                        edits.replace(span, |out| write_string(kind, out));
                    }
                    None
                }
                Field::Usage if usage == UsageRule::Null => {
                    has_usage = true;
                    Some(b"null")
                }
                Field::Usage if usage == UsageRule::Cut => {
                    members.remove(span.end, edits);
                    continue;
                }
                Field::Error => {
                    members.remove(span.end, edits);
                    continue;
                }
                _ => None,
            };
            match part.field {
                Field::Id => has[0] = true,
                Field::Created => has[2] = true,
                Field::Model => has[3] = true,
                _ => {}
            }
            members.keep(part.start, span.end, edits);
            if let Some(fresh) = fresh {
                edits.replace(span, |out| out.extend_from_slice(fresh));
            }
        }
        if has == [true; 4] && (has_usage || usage != UsageRule::Null) {
            return;
        }
        let mut comma = members.any_kept();
        let mut add = |out: &mut Vec<u8>, name: &str, write: &dyn Fn(&mut Vec<u8>)| {
            if std::mem::replace(&mut comma, true) {
                out.push(b',');
            }
            write_string(name, out);
            out.push(b':');
            write(out);
        };
        edits.insert(object.end - 1, |out| {
            if !has[0] {
                add(out, "id", &|out| out.extend_from_slice(self.id()));
            }
            if !has[1] {
                add(out, "object", &|out| write_string(kind, out));
            }
            if !has[2] {
                add(out, "created", &|out| out.extend_from_slice(self.created()));
            }
            if !has[3] {
                add(out, "model", &|out| out.extend_from_slice(self.model()));
            }
            if !has_usage && usage == UsageRule::Null {
                add(out, "usage", &|out| out.extend_from_slice(b"null"));
            }
        });
    }

    /// Appends the start of an answer or chunk of our own, up to the comma after the model.
    pub(super) fn write_start(&self, kind: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(self.id());
        out.extend_from_slice(b",\"object\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"created\":");
        out.extend_from_slice(self.created());
        out.extend_from_slice(b",\"model\":");
        out.extend_from_slice(self.model());
        out.push(b',');
    }

    /// Appends the start of a chunk of our own, up to and including `"choices":[`. `server`: the members of the
    /// backend's chunks that describe the server, each followed by a comma.
    pub(super) fn write_chunk_start(&self, kind: &str, server: &[u8], out: &mut Vec<u8>) {
        self.write_start(kind, out);
        out.extend_from_slice(server);
        out.extend_from_slice(b"\"choices\":[");
    }
}
