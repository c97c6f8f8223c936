//! How answers are handled: complete, split, truncated and invalid.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::drive::{Ending, run};
use crate::support::{INSTANT, START, property, show, table};
use crate::wire::{answer, item, plan, response};

/// Two vectors not sorted by index: as numbers and as base64.
fn data() -> Vec<Value> {
    let numbers = serde_json::from_str("[0.1, -2e-3, 1.000, 7]").expect("JSON");
    vec![item(1, &json!("AACAPwAAAEA=")), item(0, &numbers)]
}

fn two() -> Value {
    json!({"input": ["a", "b"]})
}

#[test]
fn an_answer_keeps_all_but_its_model() {
    let table = table();
    let plan = plan(&table, &two());
    let ran = run(&table, &plan, &[&response(&answer(&data()))], Ending::Open);
    let mut expected = answer(&data());
    expected["model"] = json!(INSTANT);
    let got = Answer::read(&ran.wire);
    assert_eq!((got.status, got.json()), (200, expected));
    // The vectors are unchanged, digit by digit.
    let came = serde_json::to_string(&data()).expect("JSON");
    assert!(show(&got.body).contains(&came), "{}", show(&got.body));
    let record = ran.record.expect("a record");
    assert_eq!((record.prompt_tokens, record.output_tokens), (Some(7), Some(0)));
}

/// Some servers add `id` and `created` as in chat; some omit `object`.
#[test]
fn an_identity_that_is_there_is_ours() {
    let table = table();
    let plan = plan(&table, &two());
    let more = json!({"id": "theirs", "created": 1, "data": data(), "error": null});
    let ran = run(&table, &plan, &[&response(&more)], Ending::Open);
    let expected = json!({"id": "chatcmpl-own", "created": START.unix_seconds(), "data": data(),
                          "object": "list", "model": INSTANT});
    assert_eq!(Answer::read(&ran.wire).json(), expected);
}

#[test]
fn split_at_every_byte_it_is_the_same_and_cut_at_every_byte_it_is_an_error() {
    let table = table();
    let plan = plan(&table, &two());
    let wire = response(&answer(&data()));
    let chunked = {
        let body = answer(&data()).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let (one, other) = body.split_at(40);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        format!("{head}{}{}0\r\n\r\n", chunk(one), chunk(other)).into_bytes()
    };
    let whole = run(&table, &plan, &[&wire], Ending::Open).wire;
    for wire in [wire, chunked] {
        for at in 0..=wire.len() {
            let (one, other) = wire.split_at(at);
            let ran = run(&table, &plan, &[one, other], Ending::Open);
            assert_eq!(show(&ran.wire), show(&whole), "split at {at}");
            for ending in [Ending::Eof, Ending::Lost] {
                let ran = run(&table, &plan, &[one], ending);
                let error = Answer::read(&ran.wire).error();
                assert_eq!(error.is_none(), at == wire.len(), "cut at {at} and {ending:?}");
                let codes = ["upstream_truncated", "upstream_reset"];
                assert!(error.is_none_or(|error| codes.contains(&&*error.code)), "cut at {at}");
            }
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(show(&run(&table, &plan, &bytes, Ending::Open).wire), show(&whole));
    }
}

/// If the message ends with the connection, only the closing brackets show whether it is complete.
#[test]
fn without_framing_a_cut_is_an_error() {
    let table = table();
    let plan = plan(&table, &two());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let wire = format!("{head}{}", answer(&data()));
    for cut in head.len()..wire.len() {
        let ran = run(&table, &plan, &[&wire.as_bytes()[..cut]], Ending::Eof);
        assert!(Answer::read(&ran.wire).error().is_some(), "cut at {cut}");
    }
    let ran = run(&table, &plan, &[wire.as_bytes()], Ending::Eof);
    assert_eq!(Answer::read(&ran.wire).error(), None);
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let table = table();
    let plan = plan(&table, &two());
    let [one, other] = [item(0, &json!([1.0])), item(1, &json!([2.0]))];
    let without = |name: &str| {
        let mut item = one.clone();
        item.as_object_mut().expect("an object").shift_remove(name);
        item
    };
    let garbage = "upstream_garbage";
    for (body, code) in [
        (json!({"error": {"message": "no", "code": 500}}), "upstream_error"),
        (json!([]), garbage),
        (json!({"object": "list"}), garbage),
        (json!({"object": "list", "data": {}}), garbage),
        (json!({"object": "chat.completion", "data": data()}), garbage),
        (answer(&[]), garbage),
        (answer(std::slice::from_ref(&one)), garbage),
        (answer(&[one.clone(), one.clone()]), garbage),
        (answer(&[one.clone(), item(2, &json!([1.0]))]), garbage),
        (answer(&[one.clone(), other.clone(), item(2, &json!([1.0]))]), garbage),
        (answer(&[without("index"), other.clone()]), garbage),
        (answer(&[without("embedding"), other.clone()]), garbage),
        (answer(&[item(0, &json!([])), other.clone()]), garbage),
        (answer(&[item(0, &json!("")), other.clone()]), garbage),
        (answer(&[item(0, &json!(1.0)), other.clone()]), garbage),
        (answer(&[json!([1.0]), other.clone()]), garbage),
    ] {
        let ran = run(&table, &plan, &[&response(&body)], Ending::Open);
        let error = Answer::read(&ran.wire).error().unwrap_or_else(|| panic!("good: {body}"));
        assert_eq!((error.status, &*error.code), (502, code), "{body}");
    }
    // A stream that was not asked for.
    let stream =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\ndata: [DONE]\n\n";
    let ran = run(&table, &plan, &[stream.as_bytes()], Ending::Eof);
    assert_eq!(Answer::read(&ran.wire).error().map(|error| error.code), Some(garbage.to_owned()));
}

/// An answer is valid if and only if it has exactly one vector for each input.
#[test]
fn any_data_is_taken_or_refused_as_the_maps_say() {
    let table = table();
    let index = prop_oneof![8 => 0..4i64, 1 => Just(-1i64), 1 => Just(1i64 << 40)];
    let vector = prop_oneof![
        8 => prop::collection::vec(-9.0..9.0f64, 1..4).prop_map(|vector| json!(vector)),
        4 => Just(json!("AACAPw==")),
        1 => Just(json!([])),
        1 => Just(Value::Null),
    ];
    let items = prop::collection::vec((index, vector), 1..5);
    property(3_000, &(1..4u8, items), |(inputs, items)| {
        let data: Vec<Value> = items
            .iter()
            .map(|(index, vector)| json!({"embedding": vector, "index": index}))
            .collect();
        let mut indices: Vec<i64> = items.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        let has_all = indices.iter().copied().eq(0..i64::from(inputs));
        let is_good = has_all && !items.iter().any(|(_, one)| one.is_null() || one == &json!([]));
        let plan = plan(&table, &json!({"input": vec!["a"; usize::from(inputs)]}));
        let ran = run(&table, &plan, &[&response(&answer(&data))], Ending::Open);
        let got = Answer::read(&ran.wire);
        prop_assert_eq!(got.error().is_none(), is_good, "{:?}", data);
        if is_good {
            let came = json!(data).to_string();
            prop_assert!(show(&got.body).contains(&came), "{}", show(&got.body));
        }
        Ok(())
    });
}
