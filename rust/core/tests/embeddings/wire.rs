//! Requests, and the answers of a backend.

use penstock_core::endpoint::Embeddings;
use penstock_core::routing::{Plan, Table};
use serde_json::{Value, json};

use crate::support::INSTANT;

pub fn body(more: &Value) -> Vec<u8> {
    let mut body = json!({"model": INSTANT, "input": "Once"});
    let members = body.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    body.to_string().into_bytes()
}

pub fn plan(table: &Table, more: &Value) -> Plan {
    Plan::make(table, &Embeddings, &body(more)).expect("a good request")
}

pub fn response(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn item(index: u32, embedding: &Value) -> Value {
    json!({"object": "embedding", "index": index, "embedding": embedding})
}

pub fn answer(data: &[Value]) -> Value {
    json!({"object": "list", "data": data, "model": "served",
           "usage": {"prompt_tokens": 7, "total_tokens": 7}})
}
