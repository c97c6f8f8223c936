//! The limit on a request's output tokens: `max_tokens` is set, capped, or refused.

use serde_json::{Map, Value};

use super::config::Unsupported;
use super::warning::Warning;
use crate::endpoint::{Parameter, Request};
use crate::openai::{ApiError, Code};

/// The two names of the parameter.
pub(super) const NAMES: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// A tier's policy for the length of an answer.
#[derive(Debug)]
pub(super) struct MaxTokens {
    default: Option<u64>,
    forced: Option<Value>,
    cap: Option<u64>,
    unsupported: Unsupported,
}

impl MaxTokens {
    /// Takes the defaults out of `default`, because the limit is written separately.
    pub(super) fn new(
        default: &mut Map<String, Value>,
        force: &Map<String, Value>,
        cap: Option<u64>,
        unsupported: Unsupported,
    ) -> Self {
        let [old, new] = NAMES.map(|name| default.remove(name));
        MaxTokens {
            default: new.or(old).as_ref().and_then(Value::as_u64),
            forced: NAMES.iter().find_map(|name| force.get(*name)).cloned(),
            cap,
            unsupported,
        }
    }

    /// The limit for the backend. It is always sent as `max_tokens`, which all engines honour; one
    /// engine ignores `max_completion_tokens` and never stops.
    pub(super) fn apply(
        &self,
        request: &Request<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<u64>, ApiError> {
        if let Some(forced) = &self.forced {
            return Ok(forced.as_u64());
        }
        let asked = request.max_tokens.or(self.default);
        match (asked, self.cap) {
            (Some(asked), Some(cap)) if asked > cap => {
                if request.max_tokens.is_some() {
                    if self.unsupported == Unsupported::Strict {
                        let both = request.get(Parameter::MaxCompletionTokens).is_some();
                        let name = NAMES[usize::from(both)];
                        let message = format!("'{name}' is at most {cap} here, not {asked}");
                        return Err(ApiError::new(Code::InvalidValue, message).param(name));
                    }
                    warnings.push(Warning::MaxTokensCapped);
                }
                Ok(Some(cap))
            }
            // Without a limit, the engine's own default could exceed the cap.
            (None, Some(cap)) => Ok(Some(cap)),
            (asked, _) => Ok(asked),
        }
    }
}
