//! Random streams against the oracle, in random pieces.

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::oracle;
use crate::support::client::Answer;
use crate::support::drive::Ending;
use crate::support::{INSTANT, START, property, show};
use crate::wire::{chunk, done, plan, run, stream, table};

/// Null, an empty text, or a text with characters that JSON has to escape.
fn said() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        "[a-z \"\\\\\n\u{7f}é\u{1F600}]{1,6}".prop_map(Value::from),
    ]
}

/// An object with some of these members.
fn some_of(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let members: Vec<_> = members
        .into_iter()
        .map(|(name, value)| (Just(name), proptest::option::weighted(0.4, value)))
        .collect();
    members
        .prop_map(|members| {
            let there = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
            Value::Object(there.map(|(name, value)| (name.to_owned(), value)).collect())
        })
        .boxed()
}

fn odd() -> BoxedStrategy<Value> {
    prop_oneof![Just(Value::Null), any::<u8>().prop_map(Value::from), Just(json!({"a": [1, {}]}))]
        .boxed()
}

fn list() -> BoxedStrategy<Value> {
    proptest::collection::vec((-9i32..9).prop_map(|n| json!({"logprob": n})), 0..3)
        .prop_map(Value::from)
        .boxed()
}

fn function() -> BoxedStrategy<Value> {
    some_of(vec![("name", said().boxed()), ("arguments", said().boxed()), ("description", odd())])
        .prop_map(|mut function| {
            // An empty object counts as no function.
            function.as_object_mut().expect("an object").entry("strict").or_insert(json!(true));
            function
        })
        .boxed()
}

fn call() -> BoxedStrategy<Value> {
    some_of(vec![
        ("index", (0u32..3).prop_map(Value::from).boxed()),
        ("id", prop_oneof![Just(json!("a")), Just(json!("b")), Just(json!(""))].boxed()),
        ("type", prop_oneof![Just(json!("function")), Just(Value::Null)].boxed()),
        ("function", function()),
        ("extra", odd()),
    ])
}

fn audio() -> BoxedStrategy<Value> {
    some_of(vec![
        ("id", Just(json!("audio-1")).boxed()),
        ("data", said().boxed()),
        ("transcript", said().boxed()),
    ])
    .prop_map(|mut audio| {
        // An empty object counts as no audio.
        audio.as_object_mut().expect("an object").entry("expires_at").or_insert(json!(1));
        audio
    })
    .boxed()
}

fn delta() -> BoxedStrategy<Value> {
    let calls = proptest::collection::vec(call(), 0..3).prop_map(Value::from).boxed();
    some_of(vec![
        ("role", prop_oneof![Just(json!("assistant")), Just(json!("")), Just(Value::Null)].boxed()),
        ("content", prop_oneof![4 => said().boxed(), 1 => list()].boxed()),
        ("reasoning", said().boxed()),
        ("reasoning_content", said().boxed()),
        ("refusal", said().boxed()),
        ("tool_calls", calls),
        ("function_call", prop_oneof![Just(Value::Null), function()].boxed()),
        ("annotations", prop_oneof![odd(), list()].boxed()),
        ("audio", prop_oneof![Just(Value::Null), audio()].boxed()),
    ])
}

fn choice(n: u32) -> impl Strategy<Value = Value> {
    let more = some_of(vec![
        ("logprobs", some_of(vec![("content", list()), ("refusal", list())])),
        ("stop_reason", odd()),
        ("token_ids", list()),
        ("message", Just(json!({"role": "assistant", "content": "so far"})).boxed()),
    ]);
    (0..n, delta(), more).prop_map(|(index, delta, more)| {
        let mut choice = json!({"index": index, "delta": delta, "finish_reason": null});
        choice.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        choice
    })
}

fn event(n: u32) -> impl Strategy<Value = Value> {
    let usage = prop_oneof![Just(Value::Null), Just(json!({"prompt_tokens": 5, "x": {}}))].boxed();
    let top = some_of(vec![
        ("usage", usage),
        ("service_tier", prop_oneof![Just(json!("default")), Just(Value::Null)].boxed()),
        ("system_fingerprint", said().boxed()),
        ("timings", odd()),
    ]);
    (proptest::collection::vec(choice(n), 0..3), top).prop_map(|(choices, mut event)| {
        event["choices"] = Value::from(choices);
        event
    })
}

/// JSON with every character above ASCII as escapes.
fn escaped(value: &Value) -> String {
    let mut text = String::new();
    for unit in value.to_string().encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => text.push(char::from(byte)),
            _ => write!(text, "\\u{unit:04x}").expect("a string takes all"),
        }
    }
    text
}

#[test]
fn any_stream_comes_to_what_the_oracle_says() {
    let table = table();
    let streams = (1u32..4).prop_flat_map(|n| {
        let events = proptest::collection::vec(event(n), 0..12);
        (
            Just(n),
            events,
            any::<bool>(),
            proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        )
    });
    property(2000, &streams, |(n, mut events, escape, splits)| {
        // Every choice that was begun finishes, earlier or here.
        events.extend((0..n).map(
            |index| json!({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]}),
        ));
        let mut parts: Vec<Vec<u8>> = events
            .iter()
            .map(|event| {
                let text = if escape { escaped(event) } else { event.to_string() };
                chunk(&format!("data: {text}\n\n"))
            })
            .collect();
        parts.push(done());
        let wire = stream(&parts);
        let mut cuts: Vec<usize> = splits.iter().map(|at| at.index(wire.len())).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
        let ran = run(&table, &plan(&table, n as usize), &pieces, Ending::Eof);
        let answer = Answer::read(&ran.wire);
        prop_assert_eq!(answer.status, 200, "{}", show(&ran.wire));
        let expected = oracle::whole(&events, INSTANT, START.unix_seconds());
        prop_assert_eq!(answer.json(), expected);
        Ok(())
    });
}

/// Any input gives either a whole answer in JSON, or an error with the four keys.
#[test]
fn any_bytes_come_to_an_answer_or_an_error() {
    let table = table();
    let pieces = prop_oneof![
        Just("{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}".to_owned()),
        Just("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}".to_owned()),
        Just("{\"choices\":[{\"index\":128,\"delta\":{\"content\":\"a\"}}]}".to_owned()),
        Just("{\"choices\":{}}".to_owned()),
        Just("{\"usage\":[],\"choices\":[]}".to_owned()),
        Just("{\"error\":{\"message\":\"m\",\"code\":503}}".to_owned()),
        Just("[DONE]".to_owned()),
        Just(String::new()),
        "[\\PC]{0,20}",
    ];
    let streams = proptest::collection::vec(pieces, 0..8);
    property(2000, &streams, |lines| {
        let parts: Vec<Vec<u8>> =
            lines.iter().map(|line| chunk(&format!("data: {line}\n\n"))).collect();
        let ran = run(&table, &plan(&table, 1), &[&stream(&parts)], Ending::Eof);
        let answer = Answer::read(&ran.wire);
        prop_assert!(ran.finished);
        if answer.error().is_none() {
            prop_assert!(answer.json()["choices"][0]["message"].is_object());
        }
        Ok(())
    });
}
