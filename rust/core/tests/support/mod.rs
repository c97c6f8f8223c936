//! What the tests share: a routing table, a driver of the exchange, and slow, simple decoders.
//!
//! The decoders read whole texts with the plainest code that does the job; none of them uses a
//! parser of the crate under test.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

pub mod client;
pub mod drive;
pub mod naive;
pub mod recordings;
pub mod shape;

use std::hash::{BuildHasher, RandomState};

use penstock_core::routing::{RoutingConfig, Table};
use penstock_core::time::{Now, SECOND};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};

/// The names that clients use for the two tiers of [`table`].
pub const INSTANT: &str = "alias-model";
pub const THINKING: &str = "thinking-model";

/// The moment at which every exchange of the tests begins.
pub const START: Now = Now { mono: 1_000 * SECOND, unix: 1_700_000_000 * SECOND };

pub fn at(seconds: f64) -> Now {
    Now { mono: START.mono + penstock_core::time::seconds(seconds), unix: START.unix }
}

/// The routing configuration that the tests start from.
pub fn config() -> Value {
    let tier = |name: &str, profile: &str, model: &str| {
        json!({
            "name": name, "profile": profile, "models": [model], "backends": ["a", "b"],
            "concurrency": null,
            "queue": {"requests": 100, "tokens": 1_000_000, "bytes": 100_000_000, "wait": 2.0,
                      "tenant_requests": 50},
            "timeouts": {"connect": 1.0, "first_event": 10.0, "between_events": 15.0, "total": 120.0},
            "retry_budget": 0.1, "share": 1, "slo": {"first_token": null, "inter_token": null},
            "bands": [8, 3, 1], "affinity": {"prefix": true, "header": null}, "adaptive": "off",
            "media_tokens": 1024,
            "parameters": {"default": {}, "force": {}, "max_tokens": null, "unsupported": "warn",
                           "allow": ["enable_thinking", "thinking", "reasoning_effort"]},
        })
    };
    let backend = |name: &str, prefix: &str| {
        json!({
            "name": name, "prefix": prefix, "headers": [["host", name]], "serves": "served",
            "node": null, "concurrency": 4, "keep_alive": 3.0, "abort_grace": 0.25, "abort_hold": 0.0,
            "stream_whole": false,
            "prefill_tokens": null, "kv_tokens": null, "weight": 1000,
        })
    };
    json!({
        "nodes": [],
        "backends": [backend("a", ""), backend("b", "/under")],
        "tiers": [tier("instant", "instant", INSTANT), tier("thinking", "thinking", THINKING)],
        "response_limit": 32 << 20,
        "event_limit": 1 << 20,
        "connections": 100,
    })
}

pub fn build(config: Value) -> Table {
    let config: RoutingConfig = serde_json::from_value(config).expect("a routing configuration");
    Table::build(config).expect("names fit together")
}

pub fn table() -> Table {
    build(config())
}

/// Bytes as text for messages of assertions.
pub fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.len() > 3000 {
        let head: String = text.chars().take(1500).collect();
        let tail: String = text.chars().rev().take(1500).collect();
        let tail: String = tail.chars().rev().collect();
        format!("{head}\n… {} bytes …\n{tail}", bytes.len())
    } else {
        text.into_owned()
    }
}

/// Runs a property on `cases` values; `PROPTEST_CASES` overrides how many.
///
/// A failure prints the minimal input and the seed; no file is written into the tree. The seed is new
/// on every run; `PENSTOCK_SEED=<64 hex digits>` repeats one.
pub fn property<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let mut seed = [0u8; 32];
    if let Ok(text) = std::env::var("PENSTOCK_SEED") {
        for (at, byte) in seed.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("64 hex digits");
        }
    } else {
        for part in seed.chunks_mut(8) {
            part.copy_from_slice(&RandomState::new().hash_one(0u8).to_le_bytes());
        }
    }
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, test) {
        let seed = seed.map(|byte| format!("{byte:02x}")).concat();
        panic!("{error}\nrepeat with PENSTOCK_SEED={seed}");
    }
}
