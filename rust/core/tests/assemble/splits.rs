//! One rich stream, split at every byte and cut at every byte.

use serde_json::{Value, json};

use crate::oracle;
use crate::support::client::Answer;
use crate::support::drive::Ending;
use crate::support::{INSTANT, START, naive, show};
use crate::wire::{HEAD, choice, plan, response, run, table};

fn events() -> Vec<Value> {
    let second = |delta: Value, finish: Option<&str>| json!({"choices": [{"index": 1, "delta": delta, "finish_reason": finish}]});
    vec![
        choice(&json!({"role": "assistant", "content": ""}), None),
        second(json!({"role": "assistant", "content": null}), None),
        choice(&json!({"content": "Łódź \u{1F6F6}"}), None),
        json!({"choices": [{"index": 0, "delta": {"content": "\"b\"\n"}, "finish_reason": null,
                            "logprobs": {"content": [{"token": "b", "logprob": -1.5}]}}]}),
        second(
            json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            None,
        ),
        second(
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\": 1}"}}]}),
            None,
        ),
        choice(&json!({}), Some("length")),
        second(json!({}), Some("tool_calls")),
        json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}, "timings": {"ms": 1.5}}),
    ]
}

#[test]
fn split_at_every_byte_the_answer_is_the_same() {
    let (table, events) = (table(), events());
    let (plan, wire) = (plan(&table, 2), response(&events));
    let whole = run(&table, &plan, &[&wire], Ending::Open).wire;
    let expected = oracle::whole(&events, INSTANT, START.unix_seconds());
    assert_eq!(Answer::read(&whole).json(), expected);
    for at in 0..=wire.len() {
        let (one, other) = wire.split_at(at);
        let ran = run(&table, &plan, &[one, other], Ending::Eof);
        assert_eq!(show(&ran.wire), show(&whole), "split at {at}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(show(&run(&table, &plan, &bytes, Ending::Eof).wire), show(&whole));
}

#[test]
fn cut_at_every_byte_it_is_an_error_and_never_an_answer() {
    let (table, events) = (table(), events());
    let (plan, wire) = (plan(&table, 2), response(&events));
    let complete = naive::find(&wire, b"data: [DONE]\n\n").expect("[DONE]") + 14;
    for cut in 0..wire.len() {
        for ending in [Ending::Eof, Ending::Lost] {
            let ran = run(&table, &plan, &[&wire[..cut]], ending);
            let answer = Answer::read(&ran.wire);
            match answer.error() {
                None => assert!(cut >= complete, "cut at {cut} and {ending:?}"),
                Some(error) => {
                    assert!(cut < complete, "cut at {cut} and {ending:?}: {error:?}");
                    assert!(!error.in_stream);
                    let code = match ending {
                        Ending::Eof if cut >= HEAD.len() => "upstream_truncated",
                        _ => "upstream_reset",
                    };
                    assert_eq!((error.status, &*error.code), (502, code), "cut at {cut}");
                }
            }
        }
    }
}

/// If the message ends with the connection, only finish reasons show whether it is complete.
#[test]
fn without_framing_a_cut_before_the_last_finish_reason_is_an_error() {
    let (table, events) = (table(), events());
    let plan = plan(&table, 2);
    let head = HEAD.replace("transfer-encoding: chunked\r\n", "");
    let lines: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let wire = format!("{head}{}data: [DONE]\n\n", lines.concat());
    let last = wire.rfind("\"finish_reason\":\"").expect("a finish reason");
    let terminal = last + wire[last..].find('\n').expect("a line");
    for cut in head.len()..wire.len() {
        let ran = run(&table, &plan, &[&wire.as_bytes()[..cut]], Ending::Eof);
        let answer = Answer::read(&ran.wire);
        if cut < terminal {
            let error = answer.error().unwrap_or_else(|| panic!("cut at {cut}"));
            assert_eq!(error.code, "upstream_truncated", "cut at {cut}");
        } else if answer.error().is_none() {
            assert_eq!(answer.json()["choices"][0]["message"]["content"], "Łódź \u{1F6F6}\"b\"\n");
        }
    }
}
