//! A tier's parameter policy: defaults and forced values. The limit on `max_tokens` is in `max_tokens.rs`, the check of
//! `chat_template_kwargs` in `template_arguments.rs`.

use penstock_wire::decimal::write_decimal;
use penstock_wire::json::{Edits, Kind, MemberFilter, folded, write_string};
use serde_json::{Map, Value};

use super::config::{ParameterConfig, Unsupported};
use super::max_tokens::{self, MaxTokens};
use super::member_edit::MemberEdit;
use super::template_arguments;
use super::warning::Warning;
use crate::endpoint::{ENDPOINTS, Endpoint, Member, Parameter, Request, concerns, misspelt};
use crate::openai::ApiError;

/// A request as it is sent to a backend.
#[derive(Debug)]
pub struct Rewritten {
    /// The rest of the body after `{"model":…,`.
    pub tail: Vec<u8>,
    /// The limit on its output tokens, if there is one.
    pub max_tokens: Option<u64>,
}

/// How the tail begins if the client asked for no stream but some backend will be asked for one.
pub(super) const NO_STREAM: &[u8] = b"\"stream\":false,";

#[derive(Debug)]
pub struct ParameterPolicy {
    default: Map<String, Value>,
    force: Map<String, Value>,
    max_tokens: MaxTokens,
    unsupported: Unsupported,
    allow: Vec<String>,
    /// Move `"stream":false` to the front, where it is easy to replace for a backend that is asked for a stream.
    stream_first: bool,
    /// A default or a forced value may change what a request costs a backend.
    changes_needs: bool,
    /// The names in `default` and `force`.
    own_names: Vec<String>,
}

impl ParameterPolicy {
    pub(super) fn new(config: ParameterConfig, stream_first: bool) -> Self {
        let mut default = config.default;
        let max_tokens =
            MaxTokens::new(&mut default, &config.force, config.max_tokens, config.unsupported);
        // `rewrite` always writes this member itself (Q17); a default would make it appear twice.
        default.remove("stream_options");
        let own_names: Vec<String> = default.keys().chain(config.force.keys()).cloned().collect();
        ParameterPolicy {
            changes_needs: own_names.iter().any(|name| is_need(name)),
            default,
            stream_first,
            force: config.force,
            max_tokens,
            unsupported: config.unsupported,
            allow: config.allow,
            own_names,
        }
    }

    /// Whether what a request costs (slots, tokens) must be read from the output of [`Self::rewrite`],
    /// because defaults or forced values may differ from what the client sent.
    pub(super) fn changes_needs(&self) -> bool {
        self.changes_needs
    }

    /// Writes the body for the backend without the model: all other members and the closing brace.
    /// Unchanged members are copied byte for byte. Null members are left out: absent means the same, and
    /// some engines refuse null.
    pub fn rewrite(
        &self,
        endpoint: &dyn Endpoint,
        request: &Request<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Rewritten, ApiError> {
        let max_tokens =
            if endpoint.generates() { self.max_tokens.apply(request, warnings)? } else { None };
        let mut edits = Edits::default();
        let mut filter = MemberFilter::new(request.object.start);
        for member in &request.members {
            self.refuse_misspelt(member)?;
            match self.edit(request, member, warnings)? {
                MemberEdit::Keep => filter.keep(member.start, member.value.span.end, &mut edits),
                MemberEdit::Drop => filter.remove(member.value.span.end, &mut edits),
                MemberEdit::Replace(fresh) => {
                    filter.keep(member.start, member.value.span.end, &mut edits);
                    edits.replace(member.value.span, |out| out.extend_from_slice(&fresh));
                }
            }
        }
        edits.insert(request.object.end - 1, |out| {
            let mut comma = filter.any_kept();
            let mut separate = |out: &mut Vec<u8>| {
                if std::mem::replace(&mut comma, true) {
                    out.push(b',');
                }
            };
            if let Some(count) = max_tokens {
                separate(out);
                out.extend_from_slice(b"\"max_tokens\":");
                write_decimal(count, out);
            }
            if request.stream {
                separate(out);
                // Q17: always ask for usage, because Penstock counts tokens with it.
                out.extend_from_slice(b"\"stream_options\":{\"include_usage\":true}");
            }
            for (name, value) in self.missing(endpoint, request) {
                separate(out);
                write_string(name, out);
                out.push(b':');
                out.extend_from_slice(value.to_string().as_bytes());
            }
        });
        let mut out = Vec::with_capacity(request.text.len() + 64);
        if self.stream_first && request.get(Parameter::Stream).is_some() && !request.stream {
            out.extend_from_slice(NO_STREAM);
        }
        // The opening brace is written together with the model.
        edits.apply_from(request.object.start + 1, request.text, &mut out);
        Ok(Rewritten { tail: out, max_tokens })
    }

    /// Refuses a name that differs only in case from a configured one: a backend that ignores case would get
    /// both. Names that the endpoint knows were checked when the request was read.
    fn refuse_misspelt(&self, member: &Member<'_>) -> Result<(), ApiError> {
        if member.parameter != Parameter::Other {
            return Ok(());
        }
        let name = member.name.as_ref();
        let is_meant = |own: &&String| **own != name && folded(own).eq(folded(name));
        match self.own_names.iter().find(is_meant) {
            Some(own) => Err(misspelt("", name, own)),
            None => Ok(()),
        }
    }

    fn edit(
        &self,
        request: &Request<'_>,
        member: &Member<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<MemberEdit, ApiError> {
        let name = member.name.as_ref();
        let mut edit = match member.parameter {
            Parameter::Stream if self.stream_first && !request.stream => {
                return Ok(MemberEdit::Drop);
            }
            Parameter::Model
            | Parameter::StreamOptions
            | Parameter::MaxTokens
            | Parameter::MaxCompletionTokens => return Ok(MemberEdit::Drop),
            _ if member.value.kind == Kind::Null => MemberEdit::Drop,
            Parameter::ChatTemplateKwargs => {
                let text = member.value.span.of(request.text);
                template_arguments::filter(text, &self.allow, self.unsupported, warnings)?
            }
            _ => MemberEdit::Keep,
        };
        if let Some(patch) = self.force.get(name) {
            let own = match &edit {
                // Null means absent, so the patch applies to the default.
                MemberEdit::Drop => self.default.get(name).cloned(),
                MemberEdit::Keep => serde_json::from_slice(member.value.span.of(request.text)).ok(),
                MemberEdit::Replace(fresh) => serde_json::from_slice(fresh).ok(),
            };
            edit = match merge(own, patch) {
                Some(value) => MemberEdit::Replace(value.to_string().into_bytes()),
                None => MemberEdit::Drop,
            };
        } else if matches!(edit, MemberEdit::Drop)
            && let Some(value) = self.default.get(name)
        {
            edit = MemberEdit::Replace(value.to_string().into_bytes());
        }
        Ok(edit)
    }

    /// Members that the client did not send at all: forced ones, then defaults.
    fn missing(
        &self,
        endpoint: &dyn Endpoint,
        request: &Request<'_>,
    ) -> impl Iterator<Item = (&str, Value)> {
        let absent = |name: &str| {
            !max_tokens::NAMES.contains(&name)
                && !request.members.iter().any(|m| m.name == name)
                && concerns(endpoint, name)
        };
        let forced =
            self.force.iter().filter(move |(name, _)| absent(name)).filter_map(|(name, patch)| {
                let value = merge(self.default.get(name).cloned(), patch)?;
                Some((name.as_str(), value))
            });
        let defaults = self
            .default
            .iter()
            .filter(move |(name, _)| absent(name) && !self.force.contains_key(*name))
            .map(|(name, value)| (name.as_str(), value.clone()));
        forced.chain(defaults)
    }
}

/// Whether a parameter of this name changes what a request costs, at any endpoint.
fn is_need(name: &str) -> bool {
    ENDPOINTS.iter().any(|endpoint| {
        let parameter = endpoint.parameter(name.as_bytes());
        matches!(parameter, Parameter::N | Parameter::BestOf | Parameter::Tools)
    })
}

/// RFC 7396 (JSON merge patch): null removes, objects merge, everything else replaces.
fn merge(own: Option<Value>, patch: &Value) -> Option<Value> {
    match patch {
        Value::Null => None,
        Value::Object(patch) => {
            let mut own = match own {
                Some(Value::Object(own)) => own,
                _ => Map::new(),
            };
            for (name, value) in patch {
                if let Some(value) = merge(own.remove(name), value) {
                    own.insert(name.clone(), value);
                }
            }
            Some(Value::Object(own))
        }
        value => Some(value.clone()),
    }
}
