//! Which requests are refused, what they cost, and what the backend is sent.

use penstock_core::endpoint::{Completions, Endpoint};
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
        (json!({"prompt": null}), missing, "prompt", "missing required parameter: 'prompt'"),
        (json!({"model": null}), missing, "model", "missing required parameter: 'model'"),
        (
            json!({"prompt": 7}),
            value,
            "prompt",
            "'prompt' must be a string or an array, not a number",
        ),
        (json!({"prompt": []}), value, "prompt", "'prompt' must not be empty"),
        (
            json!({"prompt": ["a", 1]}),
            value,
            "prompt[1]",
            "'prompt[1]' must be a string, not a number",
        ),
        (
            json!({"prompt": [1, "a", null]}),
            value,
            "prompt[1]",
            "'prompt[1]' must be an integer, not a string",
        ),
        (
            json!({"prompt": [[1], 2]}),
            value,
            "prompt[1]",
            "'prompt[1]' must be an array of integers, not a number",
        ),
        (
            json!({"prompt": [{"text": "a"}]}),
            value,
            "prompt[0]",
            "'prompt[0]' must be a string, an integer or an array of integers, not an object",
        ),
        (
            json!({"prompt": [1, -2]}),
            value,
            "prompt[1]",
            "'prompt[1]' must be a token: an integer of at least 0",
        ),
        (
            json!({"prompt": [[1, 2], [3, 4.5]]}),
            value,
            "prompt[1][1]",
            "'prompt[1][1]' must be a token: an integer of at least 0",
        ),
        (json!({"prompt": [[1], []]}), value, "prompt[1]", "'prompt[1]' must not be empty"),
        (json!({"n": 129}), value, "n", "'n' must be an integer from 1 to 128"),
        (
            json!({"logprobs": true}),
            value,
            "logprobs",
            "'logprobs' must be an integer, not a boolean",
        ),
        (json!({"echo": 1}), value, "echo", "'echo' must be a boolean, not a number"),
        (json!({"suffix": 1}), value, "suffix", "'suffix' must be a string, not a number"),
        (json!({"Prompt": "x"}), value, "Prompt", "'Prompt' differs from 'prompt' only in case"),
        (
            json!({"chat_template": "x"}),
            "unsupported_parameter",
            "chat_template",
            "'chat_template' is not accepted from clients",
        ),
    ] {
        let error = Plan::make(&table, &Completions, &body(&more)).expect_err("refused");
        assert_eq!((error.status(), error.code.name()), (400, code), "{more}");
        assert_eq!((error.param.as_deref(), &*error.message), (Some(param), message), "{more}");
    }
    for more in [json!({"messages": 1}), json!({"tools": 1}), json!({"Messages": 1})] {
        assert!(Plan::make(&table, &Completions, &body(&more)).is_ok(), "not its own: {more}");
    }
}

#[test]
fn slots_are_prompts_times_choices_but_no_more_than_the_smallest_cap() {
    // Backends of 4 slots.
    let table = table();
    for (more, n, slots, bytes, known) in [
        (json!({"prompt": "four"}), 1, 1, 4, 0),
        (json!({"prompt": "four", "n": 3}), 3, 3, 4, 0),
        (json!({"prompt": "four", "n": 2, "best_of": 3}), 2, 3, 4, 0),
        (json!({"prompt": ["four"]}), 1, 1, 4, 0),
        (json!({"prompt": ["four", "two"]}), 2, 2, 7, 0),
        (json!({"prompt": ["a", "b"], "n": 2}), 4, 4, 2, 0),
        (json!({"prompt": ["a", "b"], "n": 3}), 6, 4, 2, 0),
        (json!({"prompt": ["a", "b"], "best_of": 5}), 2, 5, 2, 0),
        (json!({"prompt": vec!["a"; 200]}), 200, 4, 200, 0),
        (json!({"prompt": [5, 6, 7]}), 1, 1, 0, 3),
        (json!({"prompt": [[5, 6, 7], [8]]}), 2, 2, 0, 4),
        (json!({"prompt": ""}), 1, 1, 0, 0),
    ] {
        let plan = plan(&table, &more);
        assert_eq!((plan.n, plan.slots), (n, slots), "{more}");
        assert_eq!((plan.prompt.bytes, plan.prompt.known), (bytes, known), "{more}");
    }
    // A node's cap and a tier's count as well.
    let mut config = config();
    config["nodes"] = json!([{"name": "n", "concurrency": 3}]);
    config["backends"][1]["node"] = json!("n");
    let many = json!({"prompt": vec!["a"; 9]});
    assert_eq!(plan(&build(config.clone()), &many).slots, 3);
    config["tiers"][0]["concurrency"] = json!(2);
    let table = build(config);
    assert_eq!(plan(&table, &many).slots, 2);
    // What names the fault where they are too many all the same.
    assert_eq!(plan(&table, &json!({"n": 5})).widest, "n");
    assert_eq!(plan(&table, &json!({"n": 5, "best_of": 6})).widest, "best_of");
    assert_eq!(plan(&table, &many).widest, "prompt");
}

#[test]
fn a_backend_gets_what_was_asked_and_what_the_tier_says() {
    let mut config = config();
    config["tiers"][0]["parameters"] = json!({
        "default": {"temperature": 0.5, "chat_template_kwargs": {"thinking": true}, "top_k": 7},
        "force": {"seed": 3, "tool_choice": "none"},
        "max_tokens": 9, "unsupported": "warn", "allow": [],
    });
    let table = build(config);
    let asked =
        json!({"prompt": ["a", "b"], "max_tokens": 50, "stream": true, "echo": null, "x": [1.5]});
    let plan = plan(&table, &asked);
    let mut body = Vec::new();
    Plan::write_model("served", &mut body);
    body.extend_from_slice(plan.tail());
    // The tier's values for parameters that only other endpoints know are not added.
    assert_eq!(
        serde_json::from_slice::<Value>(&body).expect("JSON"),
        json!({"model": "served", "prompt": ["a", "b"], "stream": true, "x": [1.5], "max_tokens": 9,
               "stream_options": {"include_usage": true}, "seed": 3, "temperature": 0.5, "top_k": 7})
    );
    assert_eq!(plan.warnings.len(), 1);
    assert_eq!(plan.most_output(), Some(18));
    let mut exchange = sent(&table, plan, client());
    let mut head = Vec::new();
    exchange.send(&table, "served", None, START, &mut head);
    assert!(head.starts_with(b"POST /v1/completions HTTP/1.1\r\n"), "{}", show(&head));
}

#[test]
fn its_ids_have_their_own_prefix() {
    assert_eq!(Completions.id_prefix(), "cmpl-");
}
