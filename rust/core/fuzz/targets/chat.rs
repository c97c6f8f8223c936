//! Chat requests: a plan whose body is JSON, or a 4xx.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use penstock_core::endpoint::Chat;
use penstock_core::routing::{Plan, Table};
use penstock_testing::naive;
use serde_json::value::RawValue;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let config = serde_json::json!({
        "nodes": [],
        "backends": [{"name": "a", "prefix": "", "headers": [], "serves": "served", "node": null,
                      "concurrency": 4, "keep_alive": 3.0, "abort_grace": 0.25, "abort_hold": 0.0,
                      "stream_whole": false, "prefill_tokens": null,
                      "kv_tokens": null, "weight": 1000}],
        "tiers": [{"name": "t", "profile": "instant", "models": ["m"], "backends": ["a"], "concurrency": null,
                   "queue": {"requests": 1, "tokens": 1, "bytes": 1, "wait": 1.0, "tenant_requests": 1},
                   "timeouts": {"connect": 1.0, "first_event": 1.0, "between_events": 1.0, "total": 1.0},
                   "retry_budget": 0.1, "share": 1, "slo": {"first_token": null, "inter_token": null},
                   "bands": [8, 3, 1], "affinity": {"prefix": true, "header": null}, "adaptive": "off",
                   "media_tokens": 1024,
                   "parameters": {"default": {"max_tokens": 7, "top_k": 1}, "force": {"seed": 1, "stop": null, "tools": {"a": {"b": null}}},
                                  "max_tokens": 9, "unsupported": "warn", "allow": ["thinking"]}}],
        "response_limit": 1000, "event_limit": 1000, "connections": 1
    });
    Table::build(serde_json::from_value(config).expect("a configuration")).expect("a table")
});

fuzz_target!(|body: &[u8]| {
    match Plan::make(&TABLE, &Chat, body) {
        Ok(plan) => {
            let mut out = Vec::new();
            Plan::write_model("served", &mut out);
            out.extend_from_slice(plan.tail());
            if naive::json_depth(&out) < 127 {
                serde_json::from_slice::<&RawValue>(&out).expect("JSON");
            }
        }
        Err(error) => assert!((400..500).contains(&error.status())),
    }
});
