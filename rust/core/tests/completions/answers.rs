//! How streams and whole answers are normalised.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::oracle::{events, expected, identify, whole};
use crate::support::client::Answer;
use crate::support::drive::{Ending, run};
use crate::support::{build, config, naive, property, table};
use crate::wire::{event, plan, response, two, whole_response};

#[test]
fn a_stream_is_put_right() {
    let table = table();
    for include_usage in [false, true] {
        let plan = plan(&table, &two(include_usage));
        let ran = run(&table, &plan, &[&response(&events())], Ending::Open);
        let answer = Answer::read(&ran.wire);
        assert!(answer.done && answer.is_stream() && answer.complete);
        assert_eq!(answer.events, expected(&events(), include_usage));
        let record = ran.record.expect("a record");
        assert_eq!((record.prompt_tokens, record.output_tokens), (Some(9), Some(4)));
    }
}

#[test]
fn a_whole_answer_keeps_all_but_its_identity() {
    let table = table();
    let plan = plan(&table, &json!({"n": 2}));
    let ran = run(&table, &plan, &[&whole_response(&whole())], Ending::Open);
    let mut expected = whole();
    identify(&mut expected);
    assert_eq!(Answer::read(&ran.wire).json(), expected);
    let record = ran.record.expect("a record");
    assert_eq!((record.prompt_tokens, record.output_tokens), (Some(3), Some(2)));
}

/// JSON where a stream was asked for.
#[test]
fn a_whole_answer_becomes_a_stream() {
    let table = table();
    let plan = plan(&table, &two(true));
    let ran = run(&table, &plan, &[&whole_response(&whole())], Ending::Open);
    let answer = Answer::read(&ran.wire);
    assert_eq!(answer.error(), None);
    let events = [
        json!({"choices": [{"index": 1, "text": "two", "logprobs": {"tokens": ["two"]}, "finish_reason": "length"}]}),
        json!({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}),
        json!({"choices": [], "usage": whole()["usage"]}),
    ];
    assert_eq!(answer.events, expected(&events, true));
}

#[test]
fn a_whole_answer_that_is_none_is_an_error() {
    let table = table();
    let with = |choices: Value| json!({"object": "text_completion", "choices": choices});
    let good = json!({"text": "x", "finish_reason": "stop"});
    for (body, code) in [
        (json!({"error": {"message": "no", "code": 500}}), "upstream_error"),
        (json!([]), "upstream_garbage"),
        (json!({"object": "text_completion"}), "upstream_garbage"),
        (with(json!([good, {"finish_reason": "stop"}])), "upstream_garbage"),
        (with(json!([good, {"text": null, "finish_reason": "stop"}])), "upstream_garbage"),
        (with(json!([good, {"text": "y", "finish_reason": null}])), "upstream_truncated"),
        (with(json!([])), "upstream_truncated"),
        (with(json!([good])), "upstream_ignored_parameter"),
    ] {
        for stream in [false, true] {
            let plan = plan(&table, &json!({"prompt": ["a", "b"], "stream": stream}));
            let ran = run(&table, &plan, &[&whole_response(&body)], Ending::Open);
            let error = Answer::read(&ran.wire).error().unwrap_or_else(|| panic!("good: {body}"));
            assert_eq!((error.status, &*error.code), (502, code), "{body}");
        }
    }
}

#[test]
fn fewer_choices_than_prompts_and_an_error_event_end_a_stream_with_an_error() {
    let table = table();
    let plan = plan(&table, &json!({"prompt": ["a", "b", "c"], "stream": true}));
    let first = event(0, &json!("x"), None);
    let finish = |index| event(index, &json!(""), Some("stop"));
    for (events, code) in [
        (vec![first.clone(), finish(0), finish(2)], "upstream_ignored_parameter"),
        (vec![first.clone(), finish(2)], "upstream_truncated"),
        (vec![first.clone(), json!({"error": {"message": "no"}})], "upstream_error"),
        (vec![first.clone(), json!({"choices": 7})], "upstream_garbage"),
        (vec![first.clone(), json!([])], "upstream_garbage"),
        (vec![first, event(128, &json!("x"), None)], "upstream_garbage"),
    ] {
        let ran = run(&table, &plan, &[&response(&events)], Ending::Open);
        let answer = Answer::read(&ran.wire);
        let error = answer.error().unwrap_or_else(|| panic!("a clean end: {events:?}"));
        assert_eq!((error.in_stream, &*error.code), (true, code), "{events:?}");
        assert_eq!(answer.events[0]["choices"][0]["text"], "x");
    }
}

/// More prompts than any answer to one prompt has choices.
#[test]
fn two_hundred_prompts_stream_at_once() {
    let table = table();
    let plan = plan(&table, &json!({"prompt": vec!["a"; 200], "stream": true}));
    let mut events: Vec<Value> = (0..200).rev().map(|at| event(at, &json!("x"), None)).collect();
    events.extend((0..200).map(|at| event(at, &json!("y"), Some("stop"))));
    let ran = run(&table, &plan, &[&response(&events)], Ending::Open);
    let answer = Answer::read(&ran.wire);
    assert_eq!((answer.error(), answer.events.len()), (None, 400));
    events.pop();
    let ran = run(&table, &plan, &[&response(&events)], Ending::Open);
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!(error.code, "upstream_truncated");
}

/// A tier whose backends stream whole answers too.
#[test]
fn a_whole_answer_is_put_together_from_a_stream() {
    let mut config = config();
    for backend in 0..2 {
        config["backends"][backend]["stream_whole"] = json!(true);
    }
    let table = build(config);
    let plan = plan(&table, &json!({"n": 2}));
    let wire = response(&events());
    let mut assembled = json!({
        "choices": [
            {"index": 0, "text": " upon a \"tïme\"\n", "logprobs": null, "finish_reason": "length"},
            {"index": 1, "text": "Łódź!", "finish_reason": "stop",
             "logprobs": {"tokens": ["Ł", "!"], "token_logprobs": [-1.5, -0.5]}},
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    });
    identify(&mut assembled);
    for at in 0..=wire.len() {
        let (one, other) = wire.split_at(at);
        let ran = run(&table, &plan, &[one, other], Ending::Open);
        assert_eq!(Answer::read(&ran.wire).json(), assembled, "split at {at}");
        let ran = run(&table, &plan, &[one], Ending::Eof);
        let is_complete = naive::find(one, b"data: [DONE]\n\n").is_some();
        assert_eq!(Answer::read(&ran.wire).error().is_none(), is_complete, "cut at {at}");
    }
}

/// Random streams give the same as the oracle, including chunks that take the fast path.
#[test]
fn any_stream_gives_what_the_maps_give() {
    let table = table();
    let text = prop_oneof![
        6 => "[a-z ]{0,9}".prop_map(Value::String),
        1 => Just(json!("\"q\" \\ \u{e9}\n")),
        1 => Just(Value::Null),
        1 => Just(json!(3)),
    ];
    let finish = prop_oneof![12 => Just(None), 1 => Just(Some("")), 1 => Just(Some("stop"))];
    let chunk = (0..3u32, text, finish, 1..4usize);
    let strategy = (prop::collection::vec(chunk, 1..14), any::<bool>());
    property(2_000, &strategy, |(chunks, include_usage)| {
        let mut events = Vec::new();
        for (index, text, finish, times) in chunks {
            events.extend(std::iter::repeat_n(event(index, &text, finish), times));
        }
        events.extend((0..3).map(|index| event(index, &json!(""), Some("length"))));
        let mut asked = two(include_usage);
        asked["n"] = json!(3);
        let ran = run(&table, &plan(&table, &asked), &[&response(&events)], Ending::Open);
        let answer = Answer::read(&ran.wire);
        prop_assert_eq!(answer.error(), None);
        prop_assert_eq!(answer.events, expected(&events, include_usage));
        Ok(())
    });
}
