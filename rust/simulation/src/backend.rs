//! A simulated model server: how it answers each request, and how many it runs at once.

use penstock_core::time::{MILLISECOND, Nanos, SECOND};
use penstock_testing::naive;
use serde_json::{Value, json};

use crate::answer::{last_token, token};
use crate::random::Random;

/// How the backend treats one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    Good,
    /// Sends nothing more after some events, but keeps the connection open.
    Stalls,
    /// Closes in the middle of its answer.
    Cuts,
    /// Resets in the middle of its answer.
    Resets,
    /// Resets before the first byte of the answer.
    Dies,
    /// 429 or 503, with or without `retry-after`.
    Full,
    /// 500.
    Fails,
    /// Invalid chunk framing.
    Garbage,
    /// JSON instead of the stream that was asked for.
    NoStream,
    /// Ends its stream without `[DONE]`.
    NoDone,
    /// Does not end the message after `[DONE]`.
    Lingers,
}

const BEHAVIORS: [Behavior; 10] = [
    Behavior::Stalls,
    Behavior::Cuts,
    Behavior::Resets,
    Behavior::Dies,
    Behavior::Full,
    Behavior::Fails,
    Behavior::Garbage,
    Behavior::NoStream,
    Behavior::NoDone,
    Behavior::Lingers,
];

#[derive(Debug, Default)]
pub struct Backend {
    /// Percentage of requests that are not answered normally.
    pub badness: u64,
    /// Fails only with resets and refused connections.
    pub is_the_bad_one: bool,
    /// Connections are refused until then.
    pub closed_until: Nanos,
    /// Sequences that are running.
    pub running: u32,
    /// Permits that may exist: the limit, or more if it was lowered while they were held.
    pub allowed: u32,
}

/// A piece of an answer, and the delay before it is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub after: Nanos,
    pub what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub enum What {
    Bytes(Vec<u8>),
    /// The sequences stop running: the message was sent completely, or is given up.
    Stops,
    Closes,
    Breaks,
}

/// A request as a backend reads it.
#[derive(Debug)]
pub struct Received {
    pub marker: String,
    pub stream: bool,
    pub n: u32,
    /// Its length in bytes.
    pub length: usize,
}

/// Parses the first request of the received bytes; `None`: incomplete.
pub fn read(wire: &[u8]) -> Result<Option<Received>, String> {
    let Some(end) = naive::find(wire, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&wire[..end]).to_lowercase();
    if !head.starts_with("post /v1/chat/completions http/1.1\r\n") {
        return Err(format!("not a request: {head}"));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|text| text.parse().ok()).ok_or("no length")?;
    let Some(body) = wire.get(end + 4..end + 4 + length) else { return Ok(None) };
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if body["model"] != "served" {
        return Err(format!("the model is {}", body["model"]));
    }
    let marker = body["messages"][0]["content"].as_str().ok_or("no marker")?.to_owned();
    let stream = body["stream"] == true;
    let n = body["n"].as_u64().unwrap_or(1) as u32;
    Ok(Some(Received { marker, stream, n, length: end + 4 + length }))
}

impl Backend {
    pub fn behavior(&self, random: &mut Random) -> Behavior {
        if !random.percent(self.badness) {
            Behavior::Good
        } else if self.is_the_bad_one {
            Behavior::Dies
        } else {
            BEHAVIORS[random.index(BEHAVIORS.len())]
        }
    }
}

/// The whole answer to a request, in pieces.
pub fn answer(request: &Received, behavior: Behavior, random: &mut Random) -> Vec<Piece> {
    let mut pieces = Pieces { all: Vec::new(), speed: random.between(1, 30) * MILLISECOND };
    let thinks = random.between(0, 40) * MILLISECOND;
    match behavior {
        Behavior::Dies => {
            pieces.add(thinks, What::Stops);
            pieces.add(0, What::Breaks);
        }
        Behavior::Full => pieces.whole(thinks, full(random)),
        Behavior::Fails => {
            let body = json!({"error": {"message": "boom", "type": "server_error", "code": 500}});
            pieces.whole(thinks, message("500 Internal Server Error", "", &body.to_string()));
        }
        Behavior::Garbage => {
            pieces.add(thinks, What::Bytes(head(true)));
            pieces.add(0, What::Stops);
            pieces.add(0, What::Bytes(b"zz\r\nnonsense".to_vec()));
        }
        _ if request.stream && behavior != Behavior::NoStream => {
            stream(request, behavior, thinks, random, &mut pieces);
        }
        _ => {
            let all = message("200 OK", "", &completion(request, random).to_string());
            let cut = random.index(all.len());
            match behavior {
                Behavior::Stalls => pieces.add(thinks, What::Bytes(all[..cut].to_vec())),
                Behavior::Cuts | Behavior::Resets => {
                    pieces.add(thinks, What::Bytes(all[..cut].to_vec()));
                    pieces.add(0, What::Stops);
                    pieces.add(
                        0,
                        if behavior == Behavior::Cuts { What::Closes } else { What::Breaks },
                    );
                }
                _ => pieces.whole(thinks, all),
            }
        }
    }
    pieces.all
}

struct Pieces {
    all: Vec<Piece>,
    speed: Nanos,
}

impl Pieces {
    fn add(&mut self, after: Nanos, what: What) {
        self.all.push(Piece { after, what });
    }

    /// A complete message in one piece, after which the sequences stop.
    fn whole(&mut self, after: Nanos, bytes: Vec<u8>) {
        self.add(after, What::Stops);
        self.add(0, What::Bytes(bytes));
    }
}

fn stream(
    request: &Received,
    behavior: Behavior,
    thinks: Nanos,
    random: &mut Random,
    pieces: &mut Pieces,
) {
    let length = random.between(0, 12);
    let mut events = Vec::new();
    for choice in 0..u64::from(request.n) {
        events.push(chunk(&json!([{"index": choice, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}])));
        for at in 0..=length {
            let is_last = at == length;
            let text = if is_last {
                last_token(&request.marker, choice)
            } else {
                token(&request.marker, choice, at)
            };
            events.push(chunk(
                &json!([{"index": choice, "delta": {"content": text}, "finish_reason": null}]),
            ));
            if random.percent(20) {
                // An event that is not passed on to clients, alone in one read.
                events.push(chunk(&json!([{"index": choice, "delta": {}, "finish_reason": null}])));
            }
        }
        events.push(chunk(&json!([{"index": choice, "delta": {}, "finish_reason": "stop"}])));
    }
    let mut usage = json!({"id": "x", "object": "chat.completion.chunk", "choices": []});
    usage["usage"] =
        json!({"prompt_tokens": 20, "completion_tokens": length, "total_tokens": 20 + length});
    events.push(format!("data: {usage}\n\n"));
    if behavior != Behavior::NoDone {
        events.push("data: [DONE]\n\n".to_owned());
    }
    let cut = match behavior {
        Behavior::Stalls | Behavior::Cuts | Behavior::Resets => random.index(events.len()),
        _ => events.len(),
    };
    pieces.add(thinks, What::Bytes(head(true)));
    let speed = pieces.speed;
    for event in &events[..cut] {
        pieces.add(random.below(speed), What::Bytes(chunked(event.as_bytes())));
    }
    match behavior {
        Behavior::Stalls => {}
        Behavior::Cuts | Behavior::Resets => {
            pieces.add(random.below(speed), What::Stops);
            pieces.add(0, if behavior == Behavior::Cuts { What::Closes } else { What::Breaks });
        }
        Behavior::Lingers => {
            pieces.add(0, What::Stops);
            pieces.add(random.between(1, 3) * SECOND, What::Bytes(b"0\r\n\r\n".to_vec()));
        }
        _ => pieces.whole(random.below(speed), b"0\r\n\r\n".to_vec()),
    }
}

fn chunk(choices: &Value) -> String {
    let chunk = json!({
        "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": choices,
    });
    format!("data: {chunk}\n\n")
}

fn completion(request: &Received, random: &mut Random) -> Value {
    let length = random.between(0, 30);
    let choice = |choice: u64| {
        let mut text: String = (0..length).map(|at| token(&request.marker, choice, at)).collect();
        text.push_str(&last_token(&request.marker, choice));
        json!({"index": choice, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"})
    };
    let choices: Vec<Value> = (0..u64::from(request.n)).map(choice).collect();
    json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "served", "choices": choices,
        "usage": {"prompt_tokens": 20, "completion_tokens": length, "total_tokens": 20 + length},
    })
}

fn full(random: &mut Random) -> Vec<u8> {
    let body =
        json!({"error": {"message": "busy", "type": "rate_limit_error", "code": "queue_full"}});
    let wait = if random.percent(50) { "retry-after: 1\r\n" } else { "" };
    let status =
        if random.percent(50) { "429 Too Many Requests" } else { "503 Service Unavailable" };
    message(status, wait, &body.to_string())
}

fn head(chunked: bool) -> Vec<u8> {
    let framing = if chunked { "transfer-encoding: chunked\r\n" } else { "" };
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n").into_bytes()
}

fn message(status: &str, lines: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{lines}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut all = format!("{:x}\r\n", bytes.len()).into_bytes();
    all.extend_from_slice(bytes);
    all.extend_from_slice(b"\r\n");
    all
}
