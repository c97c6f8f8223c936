//! The oracle: answers with quirks of real servers, and the expected normalised form, built with maps.

use serde_json::{Value, json};

use crate::support::{INSTANT, START};
use crate::wire::event;

/// A stream of two choices.
pub fn events() -> Vec<Value> {
    vec![
        event(1, &json!(""), None),
        event(0, &json!(" upon"), None),
        event(0, &json!(" a"), None),
        event(0, &json!(" \"tïme\"\n"), None),
        json!({"choices": [{"index": 1, "text": "Łódź", "finish_reason": "",
                            "logprobs": {"tokens": ["Ł"], "token_logprobs": [-1.5]}}]}),
        json!({"choices": [{"index": 0, "finish_reason": "length"}], "error": null}),
        json!({"choices": [{"index": 1, "text": "!", "finish_reason": "stop",
                            "logprobs": {"tokens": ["!"], "token_logprobs": [-0.5]}},
                           {"index": 0, "text": "late", "finish_reason": null}],
               "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}),
    ]
}

/// A whole answer whose choices are not sorted by index, as one server sends them.
pub fn whole() -> Value {
    json!({"id": "theirs", "object": "text_completion", "created": 1, "model": "served",
           "choices": [{"index": 1, "text": "two", "logprobs": {"tokens": ["two"]}, "finish_reason": "length"},
                       {"index": 0, "text": "", "finish_reason": "stop", "stop_reason": null}],
           "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, "kv_transfer_params": null})
}

pub fn identify(answer: &mut Value) {
    answer["id"] = json!("chatcmpl-own");
    answer["object"] = json!("text_completion");
    answer["created"] = json!(START.unix_seconds());
    answer["model"] = json!(INSTANT);
}

/// The events that the client should get.
pub fn expected(events: &[Value], include_usage: bool) -> Vec<Value> {
    let (mut finished, mut usage, mut all) = (Vec::new(), Value::Null, Vec::new());
    for event in events {
        let mut event = event.clone();
        identify(&mut event);
        let members = event.as_object_mut().expect("an object");
        members.shift_remove("error");
        if let Some(counts) = members.shift_remove("usage").filter(|counts| !counts.is_null()) {
            usage = counts;
        }
        if include_usage {
            members.insert("usage".to_owned(), Value::Null);
        }
        let choices = event["choices"].as_array_mut().expect("choices");
        choices.retain_mut(|choice| {
            let says = choice["text"].as_str().is_some_and(|text| !text.is_empty());
            let finish = choice["finish_reason"].as_str().is_some_and(|word| !word.is_empty());
            let has_logprobs = choice.get("logprobs").is_some_and(|value| !value.is_null());
            if finished.contains(&choice["index"]) || !(says || finish || has_logprobs) {
                return false;
            }
            if finish {
                finished.push(choice["index"].clone());
            }
            if !choice["text"].is_string() {
                choice["text"] = json!("");
            }
            true
        });
        if event["choices"] != json!([]) {
            all.push(event);
        }
    }
    if include_usage && !usage.is_null() {
        let mut event = json!({"choices": [], "usage": usage});
        identify(&mut event);
        all.push(event);
    }
    all
}
