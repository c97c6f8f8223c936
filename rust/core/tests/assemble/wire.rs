//! What a backend sends, and a table whose first backend streams whole answers; its second does not.

use penstock_core::endpoint::Chat;
use penstock_core::routing::{Plan, Table};
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::drive::{Ending, Ran, Run, client};
use crate::support::{INSTANT, START, build, config, show};

pub const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

pub fn table() -> Table {
    table_with(|_| ())
}

pub fn table_with(change: impl FnOnce(&mut Value)) -> Table {
    let mut config = config();
    config["backends"][0]["stream_whole"] = json!(true);
    change(&mut config);
    build(config)
}

/// A request for a whole answer with `n` choices.
pub fn plan(table: &Table, n: usize) -> Plan {
    let body = json!({"model": INSTANT, "n": n, "messages": [{"role": "user", "content": "hi"}]});
    Plan::make(table, &Chat, body.to_string().as_bytes()).expect("a good request")
}

/// One HTTP chunk.
pub fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

pub fn event(value: &Value) -> Vec<u8> {
    chunk(&format!("data: {value}\n\n"))
}

/// A chunk with one choice.
pub fn choice(delta: &Value, finish: Option<&str>) -> Value {
    json!({"id": "theirs", "object": "chat.completion.chunk", "created": 1, "model": "served",
           "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

pub fn text(content: &str) -> Vec<u8> {
    event(&choice(&json!({"content": content}), None))
}

pub fn finish(reason: &str) -> Vec<u8> {
    event(&choice(&json!({}), Some(reason)))
}

pub fn done() -> Vec<u8> {
    chunk("data: [DONE]\n\n")
}

pub fn stream(parts: &[Vec<u8>]) -> Vec<u8> {
    [HEAD.as_bytes(), &parts.concat(), b"0\r\n\r\n"].concat()
}

/// The events and `[DONE]`, as a whole response.
pub fn response(events: &[Value]) -> Vec<u8> {
    let mut parts: Vec<Vec<u8>> = events.iter().map(event).collect();
    parts.push(done());
    stream(&parts)
}

/// Feeds the pieces at one moment and ends the connection.
pub fn run(table: &Table, plan: &Plan, pieces: &[&[u8]], ending: Ending) -> Ran {
    let mut run = Run::new(table, plan.clone(), client());
    for piece in pieces {
        run.feed(piece, START);
    }
    run.end(ending, START);
    run.finish()
}

/// The whole answer that the client gets of these events.
pub fn assembled(table: &Table, n: usize, events: &[Value]) -> Value {
    let ran = run(table, &plan(table, n), &[&response(events)], Ending::Eof);
    let answer = Answer::read(&ran.wire);
    assert_eq!(answer.status, 200, "{}", show(&ran.wire));
    answer.json()
}

/// The message of the only choice.
pub fn message(events: &[Value]) -> Value {
    assembled(&table(), 1, events)["choices"][0]["message"].clone()
}
