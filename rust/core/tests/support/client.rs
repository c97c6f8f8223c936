//! A strict client: parses answers with the simple reference decoders.

use serde_json::Value;

use super::{naive, show};

/// An answer as a strict client sees it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub complete: bool,
    /// Data of each event, if it is a stream; `[DONE]` is not among them.
    pub events: Vec<Value>,
    /// The last event was `[DONE]`.
    pub done: bool,
}

impl Answer {
    /// Panics where a client would give up: broken head, framing, SSE or JSON.
    pub fn read(wire: &[u8]) -> Answer {
        let head = naive::head(wire).unwrap_or_else(|| panic!("no head: {}", show(wire)));
        let rest = &wire[head.length..];
        let (body, complete) = if head.get("transfer-encoding") == Some("chunked") {
            let (data, end) =
                naive::dechunk(rest).unwrap_or_else(|| panic!("broken framing: {}", show(wire)));
            assert!(
                end.is_none_or(|end| end == rest.len()),
                "bytes behind the end: {}",
                show(wire)
            );
            (data, end.is_some())
        } else if let Some(length) = head.get("content-length") {
            let length: usize = length.parse().expect("a length");
            assert!(rest.len() <= length, "bytes behind the end: {}", show(wire));
            (rest.to_vec(), rest.len() == length)
        } else {
            (rest.to_vec(), true)
        };
        let is_stream =
            head.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let mut events = Vec::new();
        let mut done = false;
        if is_stream {
            for (name, data) in naive::events(&body) {
                assert!(name.is_empty(), "a named event");
                assert!(!done, "something behind [DONE]: {}", show(&body));
                if data == b"[DONE]" {
                    done = true;
                } else {
                    let value = serde_json::from_slice(&data)
                        .unwrap_or_else(|error| panic!("{error}: {}", show(&data)));
                    events.push(value);
                }
            }
        }
        let naive::Head { status, headers, .. } = head;
        Answer { status, headers, body, complete, events, done }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn is_stream(&self) -> bool {
        self.get("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", show(&self.body)))
    }

    /// The error that the client gets: as a status, or as the last event of a stream. `None` for a clean end.
    /// Panics if it is neither.
    pub fn error(&self) -> Option<Error> {
        assert!(self.complete, "the answer hangs: {}", show(&self.body));
        let (value, in_stream) = if self.status == 200 {
            if !self.is_stream() {
                return None;
            }
            let at = self.events.iter().position(|event| event.get("error").is_some());
            match at {
                None => {
                    assert!(
                        self.done,
                        "a stream ends without [DONE] or error: {}",
                        show(&self.body)
                    );
                    return None;
                }
                Some(at) => {
                    assert_eq!(at + 1, self.events.len(), "events behind the error");
                    assert!(!self.done, "[DONE] behind an error: {}", show(&self.body));
                    (self.events[at].clone(), true)
                }
            }
        } else {
            assert!(self.status >= 400, "status {}", self.status);
            assert_eq!(self.get("content-type"), Some("application/json"));
            (self.json(), false)
        };
        let top = value.as_object().expect("an object");
        assert_eq!(top.len(), 1, "{value}");
        let inner = top["error"].as_object().expect("an error object");
        let mut keys: Vec<&str> = inner.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "message", "param", "type"], "the four-key form: {value}");
        let text = |name: &str| inner[name].as_str().unwrap_or_else(|| panic!("{name}: {value}"));
        assert!(!text("message").is_empty(), "{value}");
        let _ = text("type");
        Some(Error {
            status: self.status,
            in_stream,
            code: text("code").to_owned(),
            message: text("message").to_owned(),
            param: inner["param"].as_str().map(str::to_owned),
        })
    }

    /// All text of one choice of a stream.
    pub fn content(&self, index: u64) -> String {
        let choices = self.events.iter().filter_map(|event| event["choices"].as_array()).flatten();
        choices
            .filter(|choice| choice["index"] == index)
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub status: u16,
    pub in_stream: bool,
    pub code: String,
    pub message: String,
    pub param: Option<String>,
}
