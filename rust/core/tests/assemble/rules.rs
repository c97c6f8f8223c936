//! Each assembly rule by itself: what is joined, where the last value counts, and defaults for missing members.

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::drive::Ending;
use crate::support::{INSTANT, START, shape, show};
use crate::wire::{
    HEAD, assembled, choice, chunk, done, event, message, plan, response, run, stream, table,
};

#[test]
fn a_plain_answer() {
    let (table, events) = (
        table(),
        [
            choice(&json!({"role": "assistant", "content": ""}), None),
            choice(&json!({"content": "Rhine, "}), None),
            choice(&json!({"content": "Main \"and\" \n"}), None),
            choice(&json!({"content": "Elbe"}), Some("stop")),
            json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}),
        ],
    );
    let ran = run(&table, &plan(&table, 1), &[&response(&events)], Ending::Open);
    let answer = Answer::read(&ran.wire);
    shape::body(&answer, INSTANT, 1).expect("the shape of a whole answer");
    assert_eq!(answer.get("cache-control"), None, "nothing of a stream");
    assert_eq!(
        answer.json(),
        json!({"id": "chatcmpl-own", "object": "chat.completion", "created": START.unix_seconds(),
               "model": INSTANT,
               "choices": [{"index": 0, "message": {"role": "assistant", "content": "Rhine, Main \"and\" \nElbe"},
                            "finish_reason": "stop"}],
               "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}})
    );
    let record = ran.record.expect("a record");
    assert_eq!((record.prompt_tokens, record.output_tokens), (Some(3), Some(4)));
}

#[test]
fn the_order_is_that_of_whole_answers() {
    let ran = run(
        &table(),
        &plan(&table(), 1),
        &[&response(&[
            json!({"choices": [{"index": 0, "delta": {"refusal": null, "reasoning": "r", "content": "c"}, "logprobs": null}],
                   "system_fingerprint": "f"}),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}),
        ])],
        Ending::Open,
    );
    let expected = format!(
        r#"{{"id":"chatcmpl-own","object":"chat.completion","created":{},"model":"{INSTANT}","choices":[{{"index":0,"message":{{"role":"assistant","content":"c","refusal":null,"reasoning":"r"}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1}},"system_fingerprint":"f"}}"#,
        START.unix_seconds()
    );
    assert_eq!(show(&Answer::read(&ran.wire).body), expected);
}

#[test]
fn calls_are_joined_by_their_index() {
    let call = |calls: Value| choice(&json!({"content": null, "tool_calls": calls}), None);
    let said = message(&[
        choice(&json!({"role": "assistant", "content": ""}), None),
        call(
            json!([{"index": 1, "id": "call_b", "type": "function", "function": {"name": "second"}}]),
        ),
        call(
            json!([{"index": 0, "id": "call_a", "type": "function", "function": {"name": "first", "arguments": ""}},
                    {"index": 1, "function": {"arguments": "{\"b\":"}}]),
        ),
        call(json!([{"index": 0, "id": "", "function": {"name": null, "arguments": "{}"}}])),
        call(json!([{"index": 1, "id": "call_b", "function": {"name": "", "arguments": "1}"}}])),
        choice(&json!({}), Some("tool_calls")),
    ]);
    assert_eq!(
        said,
        json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "first", "arguments": "{}"}},
            {"id": "call_b", "type": "function", "function": {"name": "second", "arguments": "{\"b\":1}"}},
        ]})
    );
}

#[test]
fn calls_that_share_an_index_are_told_apart_by_their_ids() {
    let call = |id: &str, name: &str| {
        choice(
            &json!({"tool_calls": [{"index": 0, "id": id, "type": "function",
                                    "function": {"name": name, "arguments": "{}"}}]}),
            None,
        )
    };
    let said = message(&[call("a", "one"), call("b", "two"), choice(&json!({}), Some("stop"))]);
    let names: Vec<&Value> = said["tool_calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|call| &call["function"]["name"])
        .collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn what_a_call_leaves_out_is_filled_in() {
    let said = message(&[
        choice(&json!({"tool_calls": [{"function": {"name": "now"}}]}), None),
        choice(&json!({}), Some("tool_calls")),
    ]);
    assert_eq!(
        said["tool_calls"],
        json!([{"type": "function", "function": {"name": "now", "arguments": ""}}])
    );
}

#[test]
fn the_older_form_of_a_call() {
    let said = message(&[
        choice(&json!({"function_call": {"name": "now", "arguments": ""}}), None),
        choice(&json!({"function_call": {"arguments": "{\"a\""}}), None),
        choice(&json!({"function_call": {"arguments": ":1}"}}), Some("function_call")),
    ]);
    assert_eq!(
        said,
        json!({"role": "assistant", "content": null,
               "function_call": {"name": "now", "arguments": "{\"a\":1}"}})
    );
}

#[test]
fn content_is_a_string_unless_something_else_stands_in_its_place() {
    let end = || choice(&json!({}), Some("stop"));
    let content = |delta: Value| message(&[choice(&delta, None), end()])["content"].clone();
    assert_eq!(content(json!({"role": "assistant", "content": null})), json!(""));
    assert_eq!(content(json!({"role": "assistant"})), json!(""));
    assert_eq!(content(json!({"reasoning_content": "thinks"})), json!(""));
    assert_eq!(content(json!({"content": "", "refusal": "no"})), Value::Null);
    assert_eq!(content(json!({"content": "said", "reasoning": "thought"})), json!("said"));
    assert_eq!(message(&[end()])["content"], json!(""));
}

#[test]
fn reasoning_and_refusals_grow_under_their_own_names() {
    let said = message(&[
        choice(&json!({"reasoning": "a", "reasoning_content": "a", "refusal": null}), None),
        choice(&json!({"reasoning": "b", "reasoning_content": "b"}), None),
        choice(&json!({"refusal": "n"}), None),
        choice(&json!({"refusal": "o"}), Some("stop")),
    ]);
    assert_eq!(
        said,
        json!({"role": "assistant", "content": null, "reasoning": "ab", "reasoning_content": "ab",
               "refusal": "no"})
    );
}

#[test]
fn log_probabilities_are_joined() {
    let piece = |logprobs: Value| json!({"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": logprobs}]});
    let answer = assembled(
        &table(),
        1,
        &[
            piece(json!({"content": [{"token": "a", "logprob": -0.5}], "refusal": null})),
            piece(Value::Null),
            piece(json!({"content": []})),
            piece(json!({"content": [{"token": "b"}, {"token": "c", "top_logprobs": []}]})),
            choice(&json!({}), Some("stop")),
        ],
    );
    assert_eq!(
        answer["choices"][0]["logprobs"],
        json!({"content": [{"token": "a", "logprob": -0.5}, {"token": "b"},
                           {"token": "c", "top_logprobs": []}], "refusal": null})
    );
}

#[test]
fn a_message_beside_the_deltas_is_none_of_the_answer() {
    let message = json!({"role": "assistant", "content": ""});
    let chunk = |delta, reason| json!({"choices": [{"index": 0, "delta": delta, "message": message, "finish_reason": reason}]});
    let events = [
        chunk(json!({"role": "", "content": "hello"}), Value::Null),
        chunk(json!({"content": " world"}), json!("stop")),
    ];
    let answer = assembled(&table(), 1, &events);
    let expected = json!({"role": "assistant", "content": "hello world"});
    assert_eq!(answer["choices"][0]["message"], expected);
}

#[test]
fn content_in_parts_and_sound_grow() {
    let events = [
        json!({"choices": [{"index": 0, "delta": {"content": [{"text": "hello"}], "audio": null}}]}),
        json!({"choices": [{"index": 0, "delta": {"audio": {"id": "a", "data": "AAAA"}}}]}),
        json!({"choices": [{"index": 0, "delta": {"content": [{"text": " world"}],
                            "audio": {"data": "BBBB", "transcript": "hi"}}, "finish_reason": "stop"}]}),
    ];
    let answer = assembled(&table(), 1, &events);
    let expected = json!({"role": "assistant", "content": [{"text": "hello"}, {"text": " world"}],
                          "audio": {"id": "a", "data": "AAAABBBB", "transcript": "hi"}});
    assert_eq!(answer["choices"][0]["message"], expected);
}

#[test]
fn of_what_is_not_known_the_last_value_counts_but_null_takes_nothing_back() {
    let answer = assembled(
        &table(),
        1,
        &[
            json!({"service_tier": "default", "timings": {"n": 1}, "obfuscation": "xyz",
                   "choices": [{"index": 0, "delta": {"content": "a", "odd": {"n": 1}, "list": [1]}, "stop_reason": null, "token_ids": [1, 2]}]}),
            json!({"service_tier": null, "timings": {"n": 2}, "system_fingerprint": "late", "usage": null,
                   "choices": [{"index": 0, "delta": {"odd": {"n": 2}, "list": [2]}, "stop_reason": 7, "token_ids": [3],
                                "finish_reason": "stop"}]}),
        ],
    );
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["odd"], json!({"n": 2}));
    assert_eq!(choice["message"]["list"], json!([1, 2]), "arrays of deltas grow");
    assert_eq!(choice["stop_reason"], json!(7));
    assert_eq!(choice["token_ids"], json!([1, 2, 3]));
    assert_eq!(answer["service_tier"], "default");
    assert_eq!(answer["timings"], json!({"n": 2}));
    assert_eq!(answer["system_fingerprint"], "late");
    assert_eq!(answer.get("obfuscation"), None);
    assert_eq!(answer.get("usage"), None);
}

#[test]
fn choices_are_in_the_order_of_their_indices() {
    let piece = |index: u32, text: &str, finish: Option<&str>| json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]});
    let answer = assembled(
        &table(),
        3,
        &[
            piece(2, "two", None),
            piece(0, "ze", None),
            piece(2, "!", Some("length")),
            piece(0, "ro", Some("stop")),
            piece(2, " behind its end", None),
            piece(1, "one", Some("stop")),
        ],
    );
    let choices = answer["choices"].as_array().expect("choices");
    let said: Vec<(u64, &str, &str)> = choices
        .iter()
        .map(|choice| {
            let text = choice["message"]["content"].as_str().expect("text");
            let reason = choice["finish_reason"].as_str().expect("a reason");
            (choice["index"].as_u64().expect("an index"), text, reason)
        })
        .collect();
    assert_eq!(said, [(0, "zero", "stop"), (1, "one", "stop"), (2, "two!", "length")]);
}

#[test]
fn halves_of_a_character_meet_again() {
    let piece = |text: &str| {
        chunk(&format!(
            r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}{}"#,
            "\n\n"
        ))
    };
    let wire = stream(&[
        piece(r"\ud83d"),
        piece(r"\ude00 \u0041"),
        event(&choice(&json!({}), Some("stop"))),
        done(),
    ]);
    let ran = run(&table(), &plan(&table(), 1), &[&wire], Ending::Open);
    assert_eq!(Answer::read(&ran.wire).json()["choices"][0]["message"]["content"], "\u{1F600} A");
}

#[test]
fn values_of_other_kinds_than_expected_break_nothing() {
    let odd = [
        json!({"tool_calls": {"index": 0}, "content": "a"}),
        json!({"tool_calls": null, "content": "a"}),
        json!({"tool_calls": [1, null, {"function": "f"}, {"index": "x", "function": {"arguments": {"a": 1}}}], "content": "a"}),
        json!({"content": [{"type": "text", "text": "a"}]}),
        json!({"content": 5, "role": null, "function_call": "f"}),
        json!({"content": "a", "function_call": null, "reasoning": 1}),
    ];
    for delta in odd {
        let answer =
            assembled(&table(), 1, &[choice(&delta, None), choice(&json!({}), Some("stop"))]);
        assert!(answer["choices"][0]["message"].is_object(), "{delta}");
    }
}

#[test]
fn too_many_members_are_left_out_and_too_many_calls_are_garbage() {
    let many = |name: &str, count: usize| -> String {
        let members: Vec<String> = (0..count).map(|at| format!("\"{name}{at}\":{at},")).collect();
        members.concat()
    };
    let head = format!(r#"data: {{{}"choices":[{{"index":0,"delta":{{"#, many("top", 5000));
    let data =
        format!("{head}{}\"content\":\"a\"}},\"finish_reason\":\"stop\"}}]}}\n\n", many("own", 40));
    let ran = run(&table(), &plan(&table(), 1), &[&stream(&[chunk(&data), done()])], Ending::Open);
    let value = Answer::read(&ran.wire).json();
    assert_eq!(value["choices"][0]["message"]["content"], "a");
    assert_eq!(value["choices"][0]["message"]["own39"], 39);
    assert_eq!(value["top0"], 0);
    assert!(value.as_object().expect("an object").len() < 100);

    let calls: Vec<Value> = (0..5000).map(|at| json!({"index": at, "id": "x"})).collect();
    let events = [choice(&json!({"tool_calls": calls}), None), choice(&json!({}), Some("stop"))];
    let ran = run(&table(), &plan(&table(), 1), &[&response(&events)], Ending::Open);
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.status, &*error.code), (502, "upstream_garbage"));
}

#[test]
fn an_end_without_done_is_good_behind_the_last_finish_reason() {
    let wire = [
        HEAD.replace("transfer-encoding: chunked\r\n", "").into_bytes(),
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n".to_vec(),
    ]
    .concat();
    let ran = run(&table(), &plan(&table(), 1), &[&wire], Ending::Eof);
    assert_eq!(Answer::read(&ran.wire).json()["choices"][0]["message"]["content"], "a");
}
