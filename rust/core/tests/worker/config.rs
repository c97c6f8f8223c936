//! The configurations that the tests start from, and the bodies of requests.

use penstock_core::routing::BackendIndex;
use serde_json::{Value, json};

use crate::support::config;

pub const A: BackendIndex = 0;
pub const B: BackendIndex = 1;

/// The routing configuration of the tests: both tiers on these backends of so many slots each.
pub fn on(backends: &[&str], slots: u32) -> Value {
    let mut config = config();
    let like = config["backends"][0].take();
    let named = |name: &&str| {
        let mut backend = like.clone();
        backend["name"] = json!(name);
        backend["headers"] = json!([["host", name]]);
        backend["concurrency"] = json!(slots);
        backend
    };
    config["backends"] = backends.iter().map(named).collect();
    for tier in config["tiers"].as_array_mut().expect("tiers") {
        tier["backends"] = json!(backends);
    }
    config
}

/// As [`on`], with the first tier changed.
pub fn on_with(backends: &[&str], slots: u32, change: &[(&str, Value)]) -> Value {
    let mut config = on(backends, slots);
    for (pointer, value) in change {
        let pointer = format!("/tiers/0/{pointer}");
        *config.pointer_mut(&pointer).expect("a key of a tier") = value.clone();
    }
    config
}

/// The body of a request; two with the same text are the same request.
pub fn body(model: &str, text: &str, stream: bool) -> Vec<u8> {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]})
        .to_string()
        .into_bytes()
}
