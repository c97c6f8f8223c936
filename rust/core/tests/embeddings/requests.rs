//! Which requests are refused, what they cost, and what the backend is sent.

use penstock_core::endpoint::{Embeddings, Endpoint};
use penstock_core::routing::Plan;
use serde_json::{Value, json};

use crate::support::drive::{client, sent};
use crate::support::{START, build, config, show, table};
use crate::wire::{body, plan};

#[test]
fn what_is_wrong_is_told_with_its_name() {
    let table = table();
    let value = "invalid_value";
    let missing = "missing_required_parameter";
    for (more, code, param, message) in [
        (json!({"input": null}), missing, "input", "missing required parameter: 'input'"),
        (json!({"model": null}), missing, "model", "missing required parameter: 'model'"),
        (
            json!({"input": {"text": "a"}}),
            value,
            "input",
            "'input' must be a string or an array, not an object",
        ),
        (json!({"input": []}), value, "input", "'input' must not be empty"),
        (
            json!({"input": [[1], "a"]}),
            value,
            "input[1]",
            "'input[1]' must be an array of integers, not a string",
        ),
        (
            json!({"input": [1.5]}),
            value,
            "input[0]",
            "'input[0]' must be a token: an integer of at least 0",
        ),
        (
            json!({"stream": true}),
            value,
            "stream",
            "'stream' must be false: embeddings are not streamed",
        ),
        (json!({"stream": 1}), value, "stream", "'stream' must be a boolean, not a number"),
        (
            json!({"encoding_format": 1}),
            value,
            "encoding_format",
            "'encoding_format' must be a string, not a number",
        ),
        (
            json!({"dimensions": "8"}),
            value,
            "dimensions",
            "'dimensions' must be an integer, not a string",
        ),
        (json!({"INPUT": "x"}), value, "INPUT", "'INPUT' differs from 'input' only in case"),
        (
            json!({"chat_template": "x"}),
            "unsupported_parameter",
            "chat_template",
            "'chat_template' is not accepted from clients",
        ),
    ] {
        let error = Plan::make(&table, &Embeddings, &body(&more)).expect_err("refused");
        assert_eq!((error.status(), error.code.name()), (400, code), "{more}");
        assert_eq!((error.param.as_deref(), &*error.message), (Some(param), message), "{more}");
    }
    for more in [json!({"n": 500}), json!({"max_tokens": "x"}), json!({"stream": false})] {
        assert!(Plan::make(&table, &Embeddings, &body(&more)).is_ok(), "not its own: {more}");
    }
}

#[test]
fn slots_are_inputs_but_no_more_than_the_smallest_cap() {
    // Backends of 4 slots.
    let table = table();
    for (more, n, slots, bytes, known) in [
        (json!({"input": "four"}), 1, 1, 4, 0),
        (json!({"input": "four", "n": 3}), 1, 1, 4, 0),
        (json!({"input": ["four", "two"]}), 2, 2, 7, 0),
        (json!({"input": vec!["a"; 2048]}), 2048, 4, 2048, 0),
        (json!({"input": [5, 6, 7]}), 1, 1, 0, 3),
        (json!({"input": [[5, 6, 7], [8]]}), 2, 2, 0, 4),
    ] {
        let plan = plan(&table, &more);
        assert_eq!((plan.n, plan.slots), (n, slots), "{more}");
        assert_eq!((plan.prompt.bytes, plan.prompt.known), (bytes, known), "{more}");
        // Nothing is generated.
        assert_eq!(plan.most_output(), Some(0));
        assert!(!plan.streams(true), "not even where whole answers are streamed");
    }
}

#[test]
fn a_backend_gets_what_was_asked_and_what_the_tier_says() {
    let mut config = config();
    config["tiers"][0]["parameters"] = json!({
        "default": {"temperature": 0.5, "max_tokens": 7, "n": 2, "truncate": true},
        "force": {"dimensions": 8, "stop": ["x"]},
        "max_tokens": 9, "unsupported": "strict", "allow": [],
    });
    config["backends"][0]["stream_whole"] = json!(true);
    let table = build(config);
    let asked =
        json!({"input": ["a", "b"], "encoding_format": "base64", "dimensions": 99, "user": null});
    let plan = plan(&table, &asked);
    let mut body = Vec::new();
    Plan::write_model("served", &mut body);
    body.extend_from_slice(plan.tail());
    // The tier's values for parameters that only other endpoints know are not added.
    assert_eq!(
        serde_json::from_slice::<Value>(&body).expect("JSON"),
        json!({"model": "served", "input": ["a", "b"], "encoding_format": "base64",
               "dimensions": 8, "truncate": true})
    );
    assert!(plan.warnings.is_empty());
    assert_eq!((plan.n, plan.slots), (2, 2));
    let mut exchange = sent(&table, plan, client());
    let mut head = Vec::new();
    exchange.send(&table, "served", None, START, &mut head);
    assert!(head.starts_with(b"POST /v1/embeddings HTTP/1.1\r\n"), "{}", show(&head));
    assert!(show(&head).contains("accept: application/json"), "{}", show(&head));
}

#[test]
fn its_ids_have_their_own_prefix() {
    assert_eq!(Embeddings.id_prefix(), "embd-");
}
