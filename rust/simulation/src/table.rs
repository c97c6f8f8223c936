//! The configurations of a simulation.

use penstock_core::generation::Generation;
use penstock_core::routing::{RoutingConfig, Table};
use serde_json::{Value, json};

use crate::client::MODELS;
use crate::random::Random;

/// Connections of one worker.
const CONNECTIONS: u64 = 40;

/// A random configuration with this number of backends. `number`: of the generation; each has other limits, time-outs
/// and parameters.
pub fn generation(number: u32, backends: u64, one_bad: bool, random: &mut Random) -> Generation {
    let names: Vec<String> = (0..backends).map(|at| format!("b{at}")).collect();
    let backend = |name: &String, random: &mut Random| {
        json!({
            "name": name, "prefix": "", "headers": [["host", name]], "serves": "served", "node": null,
            "concurrency": random.between(2, 6), "keep_alive": 0.5, "abort_grace": 0.25, "abort_hold": 0.0,
            "stream_whole": random.percent(20), "prefill_tokens": null, "kv_tokens": null, "weight": 1000,
        })
    };
    let tier = |name: &str, model: &str, of: Vec<String>, random: &mut Random| {
        let default = if random.percent(40) { json!({"n": 2}) } else { json!({}) };
        json!({
            "name": name, "profile": name, "models": [model], "backends": of, "concurrency": null,
            "queue": {"requests": random.between(2, 40), "tokens": 1_000_000, "bytes": 100_000_000, "wait": 2.0,
                      "tenant_requests": 50},
            "timeouts": {"connect": 0.3, "first_event": 1.5, "between_events": 1.0, "total": 6.0},
            "retry_budget": if one_bad { 1.0 } else { 0.5 }, "share": 1,
            "slo": {"first_token": null, "inter_token": null},
            "bands": [8, 3, 1], "affinity": {"prefix": true, "header": null}, "adaptive": "off",
            "media_tokens": 1024,
            "parameters": {"default": default, "force": {}, "max_tokens": null, "unsupported": "warn", "allow": []},
        })
    };
    // The tiers share at least one backend, and the bad one is never a tier's only backend.
    let split = if one_bad { 0 } else { random.below(backends) };
    let (first, second) = (names.clone(), names[split as usize..].to_vec());
    let config: Value = json!({
        "nodes": [],
        "backends": names.iter().map(|name| backend(name, random)).collect::<Vec<Value>>(),
        "tiers": [tier("instant", MODELS[0], first, random), tier("thinking", MODELS[1], second, random)],
        "response_limit": 1 << 20,
        "event_limit": 1 << 16,
        "connections": CONNECTIONS,
    });
    let config: RoutingConfig = serde_json::from_value(config).expect("a configuration");
    Generation { number, table: Table::build(config).expect("names that fit together") }
}
