//! A strict client: parses answers with simple reference decoders and compares each with its request.

use penstock_testing::naive;
use serde_json::Value;

/// A request as its client remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// A unique marker in the prompt, which the backend repeats in every token of the answer.
    pub marker: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Stream { n: u32, usage: bool },
    Whole { n: u32 },
    BadJson,
    UnknownModel,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How a request ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Answered,
    /// An error with this status, or an error event on 200.
    Failed(u16),
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// The first complete answer in the received bytes, and its length; `None`: incomplete.
pub fn first(wire: &[u8]) -> Result<Option<(Answer, usize)>, String> {
    let Some(head) = naive::head(wire) else {
        let is_possible = wire.starts_with(b"HTTP/1.1 ") || b"HTTP/1.1 ".starts_with(wire);
        return if is_possible && naive::find(wire, b"\r\n\r\n").is_none() {
            Ok(None)
        } else {
            Err(format!("no head: {}", penstock_testing::show(wire)))
        };
    };
    let rest = &wire[head.length..];
    let (body, length) = if head.get("transfer-encoding") == Some("chunked") {
        let broken = || format!("broken chunks: {}", penstock_testing::show(wire));
        match naive::dechunk(rest).ok_or_else(broken)? {
            (body, Some(end)) => (body, end),
            (_, None) => return Ok(None),
        }
    } else {
        let length = head.get("content-length").and_then(|text| text.parse::<usize>().ok());
        let length = length.ok_or("neither chunks nor a length")?;
        if rest.len() < length {
            return Ok(None);
        }
        (rest[..length].to_vec(), length)
    };
    let answer = Answer { status: head.status, headers: head.headers, body };
    Ok(Some((answer, head.length + length)))
}

/// Checks an answer against its request.
pub fn check(asked: &Asked, answer: &Answer) -> Result<End, String> {
    match (asked.kind, answer.status) {
        (Kind::BadJson, 400) | (Kind::UnknownModel, 404) => refused(answer),
        (Kind::BadJson | Kind::UnknownModel, 503) if says(answer, "draining") => refused(answer),
        (Kind::BadJson | Kind::UnknownModel, status) => Err(format!("{status} for a bad request")),
        (Kind::Stream { n, usage }, 200) => streamed(asked, n, usage, answer),
        (Kind::Whole { n }, 200) => whole(asked, n, answer),
        (_, 429 | 500 | 502 | 503 | 504) => refused(answer),
        (_, status) => Err(format!("{status}: {}", penstock_testing::show(&answer.body))),
    }
}

fn says(answer: &Answer, code: &str) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["error"]["code"] == code)
}

/// Checks an error of the gateway: all four keys, and `retry-after` where a retry may help.
fn refused(answer: &Answer) -> Result<End, String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let error = body["error"].as_object().ok_or("no error object")?;
    for key in ["message", "type", "param", "code"] {
        if !error.contains_key(key) {
            return Err(format!("no {key}: {body}"));
        }
    }
    let waits = answer.header("retry-after").is_some();
    if matches!(answer.status, 429 | 503) && !waits {
        return Err(format!("{} without retry-after: {body}", answer.status));
    }
    Ok(End::Failed(answer.status))
}

fn whole(asked: &Asked, n: u32, answer: &Answer) -> Result<End, String> {
    let body: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| format!("{error}: {}", penstock_testing::show(&answer.body)))?;
    let choices = body["choices"].as_array().ok_or("no choices")?;
    // A default or forced value may ask for more choices than the client did.
    if choices.len() < n as usize {
        return Err(format!("{} choices of {n}", choices.len()));
    }
    for choice in choices {
        let index = choice["index"].as_u64().ok_or("no index")?;
        let text = choice["message"]["content"].as_str().ok_or("no content")?;
        check_text(&asked.marker, index, text, true)?;
        choice["finish_reason"].as_str().ok_or("no finish_reason")?;
    }
    Ok(End::Answered)
}

fn streamed(asked: &Asked, n: u32, usage: bool, answer: &Answer) -> Result<End, String> {
    let mut texts: Vec<String> = Vec::new();
    let mut finished: Vec<u64> = Vec::new();
    let mut ended = None;
    let mut has_usage = false;
    for (name, data) in naive::events(&answer.body) {
        let shown = penstock_testing::show(&data);
        if !name.is_empty() || ended.is_some() {
            return Err(format!("behind the end, or named: {shown}"));
        }
        if data == b"[DONE]" {
            ended = Some(End::Answered);
            continue;
        }
        let event: Value = serde_json::from_slice(&data).map_err(|e| format!("{e}: {shown}"))?;
        if event.get("error").is_some() {
            ended = Some(End::Failed(200));
            continue;
        }
        has_usage |= event.get("usage").is_some_and(|usage| !usage.is_null());
        for choice in event["choices"].as_array().ok_or("no choices")? {
            let index = choice["index"].as_u64().ok_or("no index")?;
            texts.resize(texts.len().max(index as usize + 1), String::new());
            texts[index as usize].push_str(choice["delta"]["content"].as_str().unwrap_or(""));
            if choice["finish_reason"].is_string() {
                finished.push(index);
            }
        }
    }
    let Some(end) = ended else { return Err("a clean end without a terminal event".to_owned()) };
    let is_whole = end == End::Answered;
    if is_whole && (texts.len() < n as usize || finished.len() < texts.len()) {
        return Err(format!("[DONE] with {} of {n} choices finished", finished.len()));
    }
    if is_whole && usage != has_usage {
        return Err(format!("usage asked for: {usage}, sent: {has_usage}"));
    }
    for (index, text) in texts.iter().enumerate() {
        check_text(&asked.marker, index as u64, text, is_whole)?;
    }
    Ok(end)
}

/// One token of an answer.
pub fn token(marker: &str, choice: u64, at: u64) -> String {
    format!("{marker}.{choice}.{at} ")
}

/// The last token of an answer.
pub fn last_token(marker: &str, choice: u64) -> String {
    format!("{marker}.{choice}.end")
}

/// Checks that the tokens of a choice are the request's own, in order, each once, and complete if the answer is.
fn check_text(marker: &str, choice: u64, text: &str, is_whole: bool) -> Result<(), String> {
    let mut rest = text;
    let mut at = 0;
    while let Some(next) = rest.strip_prefix(token(marker, choice, at).as_str()) {
        (rest, at) = (next, at + 1);
    }
    let has_end = rest == last_token(marker, choice);
    if has_end || rest.is_empty() && !is_whole {
        Ok(())
    } else {
        Err(format!("{marker}, choice {choice}, whole {is_whole}: not its text: {text:?}"))
    }
}
