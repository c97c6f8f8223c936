//! The rewriting of a request for its backend, compared with maps of `serde_json`.

mod support;

use penstock_core::endpoint::Chat;
use penstock_core::routing::Plan;
use penstock_testing::{property, show};
use penstock_wire::json::{Reader, unescape};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use support::{INSTANT, build, config};

/// RFC 7396, as its pseudo code has it.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            let own = target.get(name).cloned().unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(own, value));
        }
    }
    Value::Object(target)
}

/// The expected request, built with a map.
fn rewritten(request: &Map<String, Value>, parameters: &Value) -> Value {
    const LENGTHS: [&str; 2] = ["max_completion_tokens", "max_tokens"];
    let default = parameters["default"].as_object().expect("an object");
    let force = parameters["force"].as_object().expect("an object");
    let length_of =
        |map: &Map<String, Value>| LENGTHS.iter().find_map(|name| map.get(*name)?.as_u64());
    let mut length = length_of(request).or_else(|| length_of(default));
    if let Some(cap) = parameters["max_tokens"].as_u64() {
        length = Some(length.map_or(cap, |length| length.min(cap)));
    }
    let mut body: Map<String, Value> = request.clone();
    body.retain(|_, value| !value.is_null());
    if let Some(Value::Object(given)) = body.get_mut("chat_template_kwargs") {
        let allow = parameters["allow"].as_array().expect("an array");
        given.retain(|name, value| {
            allow.iter().any(|a| a == name) && !value.is_object() && !value.is_array()
        });
    }
    if body
        .get("chat_template_kwargs")
        .is_some_and(|given| given == &json!({}) && request["chat_template_kwargs"] != json!({}))
    {
        body.shift_remove("chat_template_kwargs");
    }
    for (name, value) in default {
        if !body.contains_key(name) {
            body.insert(name.clone(), value.clone());
        }
    }
    for name in LENGTHS {
        body.shift_remove(name);
    }
    body.shift_remove("stream_options");
    if let Some(length) = length {
        body.insert("max_tokens".to_owned(), json!(length));
    }
    let mut body = merge_patch(Value::Object(body), &Value::Object(force.clone()));
    let members = body.as_object_mut().expect("an object");
    // Exactly one length key, whichever name is forced.
    if let Some(forced) = members.shift_remove("max_completion_tokens") {
        members.insert("max_tokens".to_owned(), forced);
    }
    if request.get("stream") == Some(&json!(true)) {
        members.insert("stream_options".to_owned(), json!({"include_usage": true}));
    }
    members.insert("model".to_owned(), json!("served"));
    body
}

fn request() -> impl Strategy<Value = Map<String, Value>> {
    let length =
        || prop::option::of(prop_oneof![Just(Value::Null), (1u64..400).prop_map(|n| json!(n))]);
    let scalar = prop_oneof![Just(json!(1)), Just(json!(0.5)), Just(Value::Null)];
    let options = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!({"include_usage": true})),
        Just(json!({"include_obfuscation": false}))
    ];
    let kwargs = prop_oneof![
        Just(json!({})),
        Just(json!({"thinking": true})),
        Just(json!({"thinking": {"a": 1}})),
        Just(json!({"evil": 1})),
        Just(json!({"evil": [1], "enable_thinking": false})),
        Just(Value::Null),
    ];
    let format = prop_oneof![
        Just(Value::Null),
        Just(json!({"type": "text"})),
        Just(json!({"type": "json_schema", "json_schema": {"name": "x", "strict": true}})),
    ];
    (
        length(),
        length(),
        prop::option::of(scalar),
        prop::option::of(options),
        prop::option::of(kwargs),
        prop::option::of(format),
        prop::option::of(any::<bool>()),
        prop::collection::vec(
            (
                "[a-m]{3,5}",
                prop_oneof![Just(json!({"q": [1, null]})), Just(Value::Null), Just(json!("v"))],
            ),
            0..3,
        ),
        any::<u64>(),
    )
        .prop_map(|(old, new, temperature, options, kwargs, format, stream, others, order)| {
            let mut members: Vec<(String, Value)> = vec![
                ("model".to_owned(), json!(INSTANT)),
                ("messages".to_owned(), json!([{"role": "user", "content": "a \"b\" \u{1f600}"}])),
            ];
            let mut add = |name: &str, value: Option<Value>| {
                members.extend(value.map(|value| (name.to_owned(), value)));
            };
            add("max_tokens", old);
            add("max_completion_tokens", new);
            add("temperature", temperature);
            add("stream_options", options);
            add("chat_template_kwargs", kwargs);
            add("response_format", format);
            add("stream", stream.map(|stream| json!(stream)));
            for (name, value) in others {
                add(&name, Some(value));
            }
            let size = members.len();
            members.rotate_left(order as usize % size);
            members.into_iter().collect()
        })
}

fn parameters() -> impl Strategy<Value = Value> {
    let format = prop::option::of(prop_oneof![
        Just(json!({"type": "json_object"})),
        Just(json!({"type": null, "extra": {"a": null, "b": 1}})),
        Just(Value::Null),
    ]);
    let force_format = format.clone();
    (
        prop::option::of(1u64..400),
        prop::option::of(1u64..400),
        format,
        force_format,
        prop::option::of(Just(json!(0.25))),
        prop::option::of(prop_oneof![Just(json!(9)), Just(Value::Null)]),
        any::<bool>(),
        prop::option::of(1u64..50),
    )
        .prop_map(
            |(
                cap,
                default_length,
                default_format,
                force_format,
                temperature,
                force_temperature,
                options,
                forced,
            )| {
                let mut default = Map::new();
                let mut force = Map::new();
                if let Some(length) = default_length {
                    default.insert("max_tokens".to_owned(), json!(length));
                }
                // A default of null means no default.
                if let Some(format) = default_format.filter(|format| !format.is_null()) {
                    default.insert("response_format".to_owned(), format);
                }
                if let Some(temperature) = temperature {
                    default.insert("temperature".to_owned(), temperature);
                }
                if options {
                    default.insert("stream_options".to_owned(), json!({"include_usage": false}));
                }
                if let Some(format) = force_format {
                    force.insert("response_format".to_owned(), format);
                }
                if let Some(temperature) = force_temperature {
                    force.insert("temperature".to_owned(), temperature);
                }
                if let Some(length) = forced {
                    force.insert("max_completion_tokens".to_owned(), json!(length));
                }
                json!({"default": default, "force": force, "max_tokens": cap, "unsupported": "warn",
                   "allow": ["enable_thinking", "thinking", "reasoning_effort"]})
            },
        )
}

fn rewrite(body: &[u8], parameters: &Value) -> Vec<u8> {
    let mut config = config();
    config["tiers"][0]["parameters"] = parameters.clone();
    let plan = Plan::make(&build(config), &Chat, body)
        .unwrap_or_else(|error| panic!("{error:?}: {}", show(body)));
    let mut out = Vec::new();
    Plan::write_model("served", &mut out);
    out.extend_from_slice(plan.tail());
    out
}

#[test]
fn a_backend_gets_what_the_policy_says() {
    property(4_000, &(request(), parameters(), any::<bool>()), |(request, parameters, pretty)| {
        let body =
            if pretty { serde_json::to_vec_pretty(&request) } else { serde_json::to_vec(&request) };
        let out = rewrite(&body.expect("JSON"), &parameters);
        let got: Value = serde_json::from_slice(&out)
            .map_err(|error| TestCaseError::fail(format!("{error}: {}", show(&out))))?;
        prop_assert_eq!(&got, &rewritten(&request, &parameters), "{}", show(&out));
        // No duplicate keys, which a map would hide.
        let mut names = Vec::new();
        let read = Reader::new(&out).object(|reader, key| {
            names.push(unescape(key.raw).into_owned());
            reader.value().map(|_| ())
        });
        prop_assert!(read.is_ok());
        let all = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), all, "{}", show(&out));
        Ok(())
    });
}

#[test]
fn untouched_members_leave_as_they_came() {
    let odd = "{ \"messages\" : [ {\"role\":\"user\" ,\"content\":\"\\u0041\\/ \\ud800\",\"x\":1e400} ],\n\t\"seed\":  -0 , \
               \"model\":\"alias-model\", \"temperature\" : 1.000E+00,\"zzz\":{\"b\":1,\"a\":1,\"b\":2},\"top_p\":null } \n";
    let parameters = config()["tiers"][0]["parameters"].clone();
    let out = String::from_utf8(rewrite(odd.as_bytes(), &parameters)).expect("text");
    assert_eq!(
        out,
        "{\"model\":\"served\", \"messages\" : [ {\"role\":\"user\" ,\"content\":\"\\u0041\\/ \\ud800\",\"x\":1e400} ],\n\t\"seed\":  -0, \
         \"temperature\" : 1.000E+00,\"zzz\":{\"b\":1,\"a\":1,\"b\":2} } \n"
    );
}

#[test]
fn template_arguments_cannot_be_smuggled_past_the_list() {
    let parameters = config()["tiers"][0]["parameters"].clone();
    for kwargs in [
        r#"{"evil":{"a":1}}"#,
        // Input that serde_json refuses must not pass unchecked.
        r#"{"evil":{"a":1},"thinking":1e999}"#,
        r#"{"evil":{"a":1},"thinking":"\ud800"}"#,
        r#"{"evil":{"a":"\ud800"}}"#,
        r#"{"thinking":{"a":1},"thinking":true}"#,
        r#"{"thinking":true,"thinking":[1]}"#,
        r#"{"\u0065vil":1}"#,
    ] {
        let body = format!(
            r#"{{"model":"{INSTANT}","messages":[{{"role":"user"}}],"chat_template_kwargs":{kwargs}}}"#
        );
        let out = String::from_utf8(rewrite(body.as_bytes(), &parameters)).expect("text");
        assert!(
            !out.contains("vil") && !out.contains("\"a\"") && !out.contains("[1]"),
            "{kwargs}: {out}"
        );
    }
}
