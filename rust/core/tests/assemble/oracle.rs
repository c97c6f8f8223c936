//! The oracle: assembles a stream with `serde_json` values, slowly but simply.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// The whole answer that these chunks make, for a client that asked for `model`.
pub fn whole(events: &[Value], model: &str, created: u64) -> Value {
    let mut top = Members::new();
    let mut choices: BTreeMap<u64, Members> = BTreeMap::new();
    let mut finished = BTreeSet::new();
    for event in events {
        for (name, value) in event.as_object().expect("a chunk") {
            if !["id", "object", "created", "model", "choices", "obfuscation"].contains(&&**name) {
                if name == "usage" && value.is_null() {
                    continue;
                }
                last(&mut top, name, value);
            }
        }
        let none = Vec::new();
        for (position, choice) in event["choices"].as_array().unwrap_or(&none).iter().enumerate() {
            let index = choice["index"].as_u64().unwrap_or(position as u64);
            let begun = choices.contains_key(&index);
            if finished.contains(&index) || says_nothing(choice, begun) {
                continue;
            }
            if choice["finish_reason"].as_str().is_some_and(|reason| !reason.is_empty()) {
                finished.insert(index);
            }
            add_choice(choices.entry(index).or_default(), choice);
        }
    }
    let choices: Vec<Value> =
        choices.into_iter().map(|(index, choice)| finish(index, choice)).collect();
    let mut answer = json!({"id": "chatcmpl-own", "object": "chat.completion", "created": created,
                            "model": model, "choices": choices});
    answer.as_object_mut().expect("an object").extend(top);
    answer
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn says_nothing(choice: &Value, begun: bool) -> bool {
    let empty = Members::new();
    let delta = choice["delta"].as_object().unwrap_or(&empty);
    let introduces = !begun && delta.get("role").is_some_and(Value::is_string);
    let finishes = choice["finish_reason"].as_str().is_some_and(|reason| !reason.is_empty());
    let carries = delta.iter().any(|(name, value)| name != "role" && !is_empty(value));
    !introduces && !finishes && !carries && choice["logprobs"].is_null()
}

/// Keeps the last value; null does not replace a value.
fn last(members: &mut Members, name: &str, value: &Value) {
    if !value.is_null() || !members.contains_key(name) {
        members.insert(name.to_owned(), value.clone());
    }
}

/// Keeps the first value that is neither null nor empty.
fn first(members: &mut Members, name: &str, value: &Value) {
    if members.get(name).is_none_or(is_empty) {
        members.insert(name.to_owned(), value.clone());
    }
}

/// Joins strings and arrays.
fn join(members: &mut Members, name: &str, value: &Value) {
    let joined = match (members.get(name), value) {
        (Some(Value::String(old)), Value::String(new)) => json!(format!("{old}{new}")),
        (Some(Value::Array(old)), Value::Array(new)) => json!([old.clone(), new.clone()].concat()),
        _ => return last(members, name, value),
    };
    members.insert(name.to_owned(), joined);
}

/// Joins arrays.
fn list(members: &mut Members, name: &str, value: &Value) {
    if value.is_array() { join(members, name, value) } else { last(members, name, value) }
}

/// `choice` holds the growing `message`; calls are pairs of index and call.
fn add_choice(choice: &mut Members, from: &Value) {
    for (name, value) in from.as_object().expect("a choice") {
        match &**name {
            "index" | "message" => {}
            "delta" => {
                let mut message = choice.remove("message").unwrap_or_else(|| json!({}));
                if let Some(delta) = value.as_object() {
                    add_delta(message.as_object_mut().expect("a message"), delta);
                }
                choice.insert("message".to_owned(), message);
            }
            "finish_reason" => {
                if !is_empty(value) {
                    choice.insert(name.clone(), value.clone());
                }
            }
            "logprobs" => {
                let mut all = choice.remove(name).unwrap_or(Value::Null);
                if let Some(more) = value.as_object() {
                    let mut own = all.as_object().cloned().unwrap_or_default();
                    more.iter().for_each(|(name, value)| join(&mut own, name, value));
                    all = Value::Object(own);
                }
                choice.insert(name.clone(), all);
            }
            "token_ids" => join(choice, name, value),
            _ => last(choice, name, value),
        }
    }
}

fn add_delta(message: &mut Members, delta: &Members) {
    for (name, value) in delta {
        match &**name {
            "role" => {
                if value.is_string() && !is_empty(value) && !message.contains_key("role") {
                    message.insert(name.clone(), value.clone());
                }
            }
            "content" | "reasoning" | "reasoning_content" | "refusal" => join(message, name, value),
            "tool_calls" => {
                let mut calls = match message.remove("tool_calls") {
                    Some(Value::Array(calls)) => calls,
                    _ => Vec::new(),
                };
                let none = Vec::new();
                let pieces = value.as_array().unwrap_or(&none).iter().enumerate();
                pieces.for_each(|(position, piece)| add_call(&mut calls, position, piece));
                if !calls.is_empty() {
                    message.insert(name.clone(), Value::Array(calls));
                }
            }
            "function_call" if value.is_object() => {
                let mut function = match message.remove(name) {
                    Some(Value::Object(function)) => function,
                    _ => Members::new(),
                };
                add_function(&mut function, value);
                message.insert(name.clone(), Value::Object(function));
            }
            "audio" if value.is_object() => {
                let mut audio = match message.remove(name) {
                    Some(Value::Object(audio)) => audio,
                    _ => Members::new(),
                };
                for (name, value) in value.as_object().expect("an object") {
                    match &**name {
                        "data" | "transcript" => join(&mut audio, name, value),
                        _ => last(&mut audio, name, value),
                    }
                }
                message.insert(name.clone(), Value::Object(audio));
            }
            _ => list(message, name, value),
        }
    }
}

fn add_call(calls: &mut Vec<Value>, position: usize, piece: &Value) {
    let index = piece["index"].as_u64().unwrap_or(position as u64);
    let id = piece["id"].as_str().unwrap_or("");
    let named = !is_empty(&piece["function"]["name"]);
    let found = calls.iter().rposition(|call| call[0] == index);
    let found = found.filter(|&at| {
        let old = calls[at][1]["id"].as_str().unwrap_or("");
        !named || id.is_empty() || old.is_empty() || old == id
    });
    let at = found.unwrap_or_else(|| {
        let at = calls.iter().filter(|call| call[0].as_u64() <= Some(index)).count();
        calls.insert(at, json!([index, {}]));
        at
    });
    let call = calls[at][1].as_object_mut().expect("a call");
    for (name, value) in piece.as_object().expect("a piece of a call") {
        match &**name {
            "index" => {}
            "id" | "type" => first(call, name, value),
            "function" => {
                if value.is_object() {
                    let function = call.entry("function").or_insert_with(|| json!({}));
                    add_function(function.as_object_mut().expect("a function"), value);
                }
            }
            _ => last(call, name, value),
        }
    }
}

fn add_function(function: &mut Members, piece: &Value) {
    for (name, value) in piece.as_object().expect("a function") {
        match &**name {
            "name" => first(function, name, value),
            "arguments" => join(function, name, value),
            _ => last(function, name, value),
        }
    }
}

fn finish(index: u64, mut choice: Members) -> Value {
    choice.insert("index".to_owned(), json!(index));
    let mut message = match choice.remove("message") {
        Some(Value::Object(message)) => message,
        _ => Members::new(),
    };
    message.entry("role").or_insert_with(|| json!("assistant"));
    if let Some(Value::Array(calls)) = message.get_mut("tool_calls") {
        for call in calls {
            let mut own = call[1].take();
            if let Some(function) = own.get_mut("function").and_then(Value::as_object_mut) {
                if function.is_empty() {
                    own.as_object_mut().expect("a call").remove("function");
                } else {
                    put_arguments(function);
                    first(own.as_object_mut().expect("a call"), "type", &json!("function"));
                }
            }
            *call = own;
        }
    }
    if let Some(Value::Object(function)) = message.get_mut("function_call") {
        put_arguments(function);
    }
    let instead = ["tool_calls", "function_call", "refusal"];
    if message.get("content").is_none_or(is_empty) {
        let other = instead.iter().any(|name| message.get(*name).is_some_and(|v| !is_empty(v)));
        let content = if other { Value::Null } else { json!("") };
        message.insert("content".to_owned(), content);
    }
    choice.insert("message".to_owned(), Value::Object(message));
    if choice.get("logprobs").is_some_and(is_empty) {
        choice.insert("logprobs".to_owned(), Value::Null);
    }
    Value::Object(choice)
}

fn put_arguments(function: &mut Members) {
    first_if_null(function, "arguments");
}

fn first_if_null(members: &mut Members, name: &str) {
    if members.get(name).is_none_or(Value::is_null) {
        members.insert(name.to_owned(), json!(""));
    }
}
