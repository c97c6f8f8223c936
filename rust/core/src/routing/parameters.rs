//! A tier's parameter policy: defaults, forced values, the length cap.

use penstock_wire::decimal::write_decimal;
use penstock_wire::json::{Edits, Kind, MemberFilter, Reader, folded, unescape, write_string};
use serde_json::{Map, Value};

use super::config::{ParameterConfig, Unsupported};
use crate::endpoint::{ENDPOINTS, Endpoint, Member, Parameter, Request, concerns, misspelt};
use crate::openai::{ApiError, Code};

/// One entry of `x-penstock-warning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// `max_tokens` was above the tier's cap and was lowered.
    MaxTokensCapped,
    /// An argument in `chat_template_kwargs` is not allowed here and was removed.
    TemplateArgumentDropped,
}

impl Warning {
    pub fn text(self) -> &'static str {
        match self {
            Warning::MaxTokensCapped => "max_tokens=capped",
            Warning::TemplateArgumentDropped => "chat_template_kwargs=dropped",
        }
    }
}

/// How one top-level member is changed for the backend.
enum Fate {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

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

/// The two names of the length cap.
const LENGTH_KEYS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

#[derive(Debug)]
pub struct ParameterPolicy {
    default: Map<String, Value>,
    default_max_tokens: Option<u64>,
    force: Map<String, Value>,
    max_tokens: Option<u64>,
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
        let old = default.remove("max_tokens");
        let new = default.remove("max_completion_tokens");
        // `rewrite` always writes this member itself (Q17); a default would make it appear twice.
        default.remove("stream_options");
        let default_max_tokens = new.or(old).as_ref().and_then(Value::as_u64);
        let own_names: Vec<String> = default.keys().chain(config.force.keys()).cloned().collect();
        ParameterPolicy {
            changes_needs: own_names.iter().any(|name| is_need(name)),
            default,
            default_max_tokens,
            stream_first,
            force: config.force,
            max_tokens: config.max_tokens,
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
        let max_tokens = if endpoint.generates() { self.length(request, warnings)? } else { None };
        let mut edits = Edits::default();
        let mut filter = MemberFilter::new(request.object.start);
        for member in &request.members {
            self.refuse_misspelt(member)?;
            match self.fate(request, member, warnings)? {
                Fate::Keep => filter.keep(member.start, member.value.span.end, &mut edits),
                Fate::Drop => filter.remove(member.value.span.end, &mut edits),
                Fate::Replace(fresh) => {
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

    /// The length limit for the backend. It is always sent as `max_tokens`, which all engines honour; one
    /// engine ignores `max_completion_tokens` and never stops.
    fn length(
        &self,
        request: &Request<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<u64>, ApiError> {
        if let Some(forced) = LENGTH_KEYS.iter().find_map(|key| self.force.get(*key)) {
            return Ok(forced.as_u64());
        }
        let asked = request.max_tokens.or(self.default_max_tokens);
        match (asked, self.max_tokens) {
            (Some(asked), Some(cap)) if asked > cap => {
                if request.max_tokens.is_some() {
                    if self.unsupported == Unsupported::Strict {
                        let both = request.get(Parameter::MaxCompletionTokens).is_some();
                        let name = LENGTH_KEYS[usize::from(both)];
                        let message = format!("'{name}' is at most {cap} here, not {asked}");
                        return Err(ApiError::new(Code::InvalidValue, message).param(name));
                    }
                    warnings.push(Warning::MaxTokensCapped);
                }
                Ok(Some(cap))
            }
            // Without a length, the engine's own default could exceed the cap.
            (None, Some(cap)) => Ok(Some(cap)),
            (asked, _) => Ok(asked),
        }
    }

    fn fate(
        &self,
        request: &Request<'_>,
        member: &Member<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Fate, ApiError> {
        let name = member.name.as_ref();
        let mut fate = match member.parameter {
            Parameter::Stream if self.stream_first && !request.stream => return Ok(Fate::Drop),
            Parameter::Model
            | Parameter::StreamOptions
            | Parameter::MaxTokens
            | Parameter::MaxCompletionTokens => return Ok(Fate::Drop),
            _ if member.value.kind == Kind::Null => Fate::Drop,
            Parameter::ChatTemplateKwargs => self.template_arguments(request, member, warnings)?,
            _ => Fate::Keep,
        };
        if let Some(patch) = self.force.get(name) {
            let own = match &fate {
                // Null means absent, so the patch applies to the default.
                Fate::Drop => self.default.get(name).cloned(),
                Fate::Keep => serde_json::from_slice(member.value.span.of(request.text)).ok(),
                Fate::Replace(fresh) => serde_json::from_slice(fresh).ok(),
            };
            fate = match merge(own, patch) {
                Some(value) => Fate::Replace(value.to_string().into_bytes()),
                None => Fate::Drop,
            };
        } else if matches!(fate, Fate::Drop)
            && let Some(value) = self.default.get(name)
        {
            fate = Fate::Replace(value.to_string().into_bytes());
        }
        Ok(fate)
    }

    /// Keeps only scalars under allowed names: an arbitrary template argument can block an engine's event loop.
    fn template_arguments(
        &self,
        request: &Request<'_>,
        member: &Member<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Fate, ApiError> {
        let text = member.value.span.of(request.text);
        let mut edits = Edits::default();
        let mut filter = MemberFilter::new(0);
        let mut odd = None;
        // Not read with serde_json, which refuses numbers and escapes that engines accept; such an object
        // would pass unchecked.
        Reader::new(text).object(|reader, key| {
            let name = unescape(key.raw);
            let value = reader.value()?;
            let scalar = !matches!(value.kind, Kind::Object | Kind::Array);
            if scalar && self.allow.iter().any(|allowed| *allowed == name) {
                filter.keep(key.start, value.span.end, &mut edits);
            } else {
                filter.remove(value.span.end, &mut edits);
                odd.get_or_insert_with(|| name.chars().take(64).collect::<String>());
            }
            Ok::<(), ApiError>(())
        })?;
        let Some(odd) = odd else { return Ok(Fate::Keep) };
        if self.unsupported == Unsupported::Strict {
            let param = format!("chat_template_kwargs.{odd}");
            let message = format!("'{param}' is not accepted here");
            return Err(ApiError::new(Code::UnsupportedParameter, message).param(param));
        }
        warnings.push(Warning::TemplateArgumentDropped);
        if !filter.any_kept() {
            return Ok(Fate::Drop);
        }
        let mut fresh = Vec::with_capacity(text.len());
        edits.apply(text, &mut fresh);
        Ok(Fate::Replace(fresh))
    }

    /// Members that the client did not send at all: forced ones, then defaults.
    fn missing(
        &self,
        endpoint: &dyn Endpoint,
        request: &Request<'_>,
    ) -> impl Iterator<Item = (&str, Value)> {
        let absent = |name: &str| {
            !LENGTH_KEYS.contains(&name)
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
