//! What backends send.

use serde_json::{Value, json};

/// The head of a streamed answer.
pub const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The end of a streamed answer's body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn event(choice: &Value) -> Vec<u8> {
    let event = json!({"id": "theirs", "object": "chat.completion.chunk", "created": 1,
                       "model": "served", "choices": [choice]});
    chunk(&format!("data: {event}\n\n"))
}

/// An event with a piece of the answer.
pub fn text(content: &str) -> Vec<u8> {
    event(&json!({"index": 0, "delta": {"content": content}, "finish_reason": null}))
}

/// The last events of a stream, without the end of the body.
pub fn finish() -> Vec<u8> {
    let finish = event(&json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
    [finish, chunk("data: [DONE]\n\n")].concat()
}

/// A whole stream.
pub fn stream() -> Vec<u8> {
    [STREAM, &text("hello"), &finish(), LAST_CHUNK].concat()
}

/// A response with a body of known length, and further header lines, each ended by CRLF.
pub fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A whole answer, of 20 prompt tokens and 10 of output.
pub fn whole() -> Vec<u8> {
    let body = json!({"id": "theirs", "object": "chat.completion", "created": 1, "model": "served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}});
    response(200, "content-type: application/json\r\n", &body.to_string())
}

/// The server has no room, and says when to come back.
pub fn full(status: u16, seconds: u32) -> Vec<u8> {
    response(
        status,
        &format!("retry-after: {seconds}\r\n"),
        "{\"error\":{\"message\":\"no room\"}}",
    )
}

/// The server has not loaded its model yet.
pub fn loading() -> Vec<u8> {
    let body = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
    response(503, "", body)
}

/// A proxy says that it finds no server.
pub fn unavailable() -> Vec<u8> {
    response(503, "", "Service Unavailable")
}
