//! Shared by the tests: a routing table, a driver of the exchange, and a client.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

pub mod client;
pub mod drive;
pub mod recordings;
pub mod shape;

#[allow(unused_imports)]
pub use penstock_testing::{naive, property, show};

use penstock_core::routing::{RoutingConfig, Table};
use penstock_core::time::{Now, SECOND};
use serde_json::{Value, json};

/// The names that clients use for the two tiers of [`table`].
pub const INSTANT: &str = "alias-model";
pub const THINKING: &str = "thinking-model";

/// The time at which every exchange of the tests begins.
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
