//! A simulated client: which requests it sends, and when it leaves.

use std::collections::VecDeque;

use penstock_core::time::Nanos;
use serde_json::json;

use crate::answer::{Asked, Kind};
use crate::random::Random;

#[derive(Debug, Default)]
pub struct Client {
    pub socket: Option<usize>,
    /// Requests that wait for their answer, in order.
    pub asked: VecDeque<Asked>,
    /// Bytes that it has read but not yet parsed.
    pub wire: Vec<u8>,
    /// It stops reading until then.
    pub stalled_until: Nanos,
    /// Number of its next request.
    pub made: u64,
}

/// The models that clients ask for.
pub const MODELS: [&str; 2] = ["fast", "deep"];

impl Client {
    /// Makes a random request. Returns what it asks for, and its bytes.
    pub fn ask(&mut self, number: usize, random: &mut Random) -> (Asked, Vec<u8>) {
        self.made += 1;
        let marker = format!("c{number}r{}", self.made);
        let n = if random.percent(15) { 2 } else { 1 };
        let usage = random.percent(50);
        let kind = match random.below(100) {
            0..4 => Kind::BadJson,
            4..8 => Kind::UnknownModel,
            8..55 => Kind::Stream { n, usage },
            _ => Kind::Whole { n },
        };
        let model = MODELS[random.index(MODELS.len())];
        let model = if kind == Kind::UnknownModel { "none" } else { model };
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": marker}]});
        if n > 1 {
            body["n"] = json!(n);
        }
        if let Kind::Stream { usage, .. } = kind {
            body["stream"] = json!(true);
            if usage {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        let mut body = body.to_string();
        if kind == Kind::BadJson {
            body.truncate(body.len() - 1);
        }
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
        let length = body.len();
        let bytes = format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes();
        (Asked { marker, kind }, bytes)
    }
}
