//! Requests, and the responses of a backend.

use penstock_core::endpoint::Completions;
use penstock_core::routing::{Plan, Table};
use serde_json::{Value, json};

use crate::support::INSTANT;

pub fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": INSTANT, "prompt": "Once"});
    let members = body.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    body.to_string().into_bytes()
}

pub fn plan(table: &Table, more: &Value) -> Plan {
    Plan::make(table, &Completions, &body(more)).expect("a good request")
}

/// A stream of two choices.
pub fn two(include_usage: bool) -> Value {
    let options = json!({"include_usage": include_usage});
    json!({"n": 2, "stream": true, "stream_options": options})
}

pub const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

pub fn response(events: &[Value]) -> Vec<u8> {
    let events = events.iter().map(|event| format!("data: {event}\n\n"));
    let chunks: Vec<String> = events
        .chain(["data: [DONE]\n\n".to_owned()])
        .map(|text| format!("{:x}\r\n{text}\r\n", text.len()))
        .collect();
    format!("{STREAM}{}0\r\n\r\n", chunks.concat()).into_bytes()
}

pub fn whole_response(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn event(index: u32, text: &Value, finish: Option<&str>) -> Value {
    json!({"id": "theirs", "object": "text_completion", "created": 1, "model": "served",
           "choices": [{"index": index, "text": text, "logprobs": null, "finish_reason": finish}]})
}
