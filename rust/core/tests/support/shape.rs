//! Checks the shape of normalised answers (P1, P6, P7, P12, P13 and P14).

use std::collections::HashSet;

use serde_json::Value;

use super::START;
use super::client::Answer;

macro_rules! require {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

/// Members of a delta that are part of the answer.
const ANSWER: [&str; 6] =
    ["content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call"];

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn identity(value: &Value, object: &str, alias: &str) -> Result<(), String> {
    require!(value["id"] == "chatcmpl-own", "id: {value}");
    require!(value["created"] == START.unix_seconds(), "created: {value}");
    require!(value["object"] == object, "object: {value}");
    require!(value["model"] == alias, "model: {value}");
    require!(value.get("error").is_none(), "an error key: {value}");
    Ok(())
}

/// A good whole answer.
pub fn body(answer: &Answer, alias: &str, n: usize) -> Result<(), String> {
    require!(answer.status == 200, "status {}", answer.status);
    require!(answer.complete, "incomplete");
    require!(answer.get("content-type") == Some("application/json"), "{:?}", answer.headers);
    let value = answer.json();
    identity(&value, "chat.completion", alias)?;
    let choices = value["choices"].as_array().ok_or("no choices")?;
    require!(choices.len() == n, "{} choices, asked for {n}", choices.len());
    for choice in choices {
        require!(choice["message"].is_object(), "{choice}");
        require!(choice["finish_reason"].as_str().is_some_and(|r| !r.is_empty()), "{choice}");
    }
    Ok(())
}

/// A good stream.
pub fn stream(answer: &Answer, alias: &str, n: usize, include_usage: bool) -> Result<(), String> {
    require!(answer.status == 200, "status {}", answer.status);
    require!(answer.complete, "incomplete");
    require!(answer.is_stream(), "{:?}", answer.headers);
    require!(answer.get("cache-control") == Some("no-cache"), "{:?}", answer.headers);
    require!(answer.done, "no [DONE]");
    let mut introduced: HashSet<u64> = HashSet::new();
    let mut finished: HashSet<u64> = HashSet::new();
    let mut usage_chunks = 0;
    for (at, event) in answer.events.iter().enumerate() {
        identity(event, "chat.completion.chunk", alias)?;
        let choices = event["choices"].as_array().ok_or_else(|| format!("no choices: {event}"))?;
        if choices.is_empty() {
            // P7: only the usage chunk has none, and it is the last.
            require!(include_usage, "usage that nobody asked for: {event}");
            require!(at + 1 == answer.events.len(), "the usage chunk is not last: {event}");
            require!(event["usage"]["prompt_tokens"].is_u64(), "{event}");
            require!(event["usage"]["completion_tokens"].is_u64(), "{event}");
            usage_chunks += 1;
            continue;
        }
        if include_usage {
            require!(event.get("usage") == Some(&Value::Null), "usage must be null here: {event}");
        } else {
            require!(event.get("usage").is_none(), "usage that nobody asked for: {event}");
        }
        for choice in choices {
            let index = choice["index"].as_u64().ok_or_else(|| format!("no index: {event}"))?;
            let delta = choice["delta"].as_object().ok_or_else(|| format!("no delta: {event}"))?;
            require!(!finished.contains(&index), "a delta behind the finish: {event}");
            let first = introduced.insert(index);
            let role = delta.get("role");
            require!(
                role.is_some() == first && role.is_none_or(|role| role == "assistant"),
                "the role is said once, in the first chunk: {event}"
            );
            let says = ANSWER.iter().any(|name| delta.get(*name).is_some_and(|v| !is_empty(v)));
            let other = delta.iter().any(|(name, value)| name != "role" && !is_empty(value))
                || choice.get("logprobs").is_some_and(|value| !value.is_null());
            match choice["finish_reason"].as_str() {
                Some(reason) => {
                    require!(!reason.is_empty(), "an empty finish_reason: {event}");
                    require!(!says, "text on the finish chunk: {event}");
                    finished.insert(index);
                }
                None => require!(first || says || other, "an empty delta: {event}"),
            }
        }
    }
    require!(introduced.len() == n, "{} choices, asked for {n}", introduced.len());
    require!(introduced == finished, "unfinished choices");
    require!(usage_chunks == usize::from(include_usage), "{usage_chunks} usage chunks");
    Ok(())
}
