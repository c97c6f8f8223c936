//! Recorded streams of real servers, assembled, and compared with the same stream as a client gets it and with
//! the server's own whole answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use penstock_core::endpoint::Chat;
use penstock_core::routing::{Plan, Table};
use serde_json::{Value, json};

use crate::oracle;
use crate::support::client::Answer;
use crate::support::drive::Ending;
use crate::support::recordings::{Recorded, all};
use crate::support::{INSTANT, START, naive, shape, show};
use crate::wire::{run, table};

struct Streamed {
    recorded: Recorded,
    /// The plan of the recorded request.
    plan: Plan,
    /// The plan of the same request without a stream.
    whole: Plan,
}

fn streams(table: &Table) -> Vec<Streamed> {
    let asks = |recorded: &Recorded| naive::find(&recorded.body, b"\"stream\": true").is_some();
    let recorded = all().into_iter().filter(asks);
    recorded
        .map(|recorded| {
            let simple = json!({"model": INSTANT, "stream": true,
                                "messages": [{"role": "user", "content": "hi"}]});
            let plan = Plan::make(table, &Chat, &recorded.body)
                .or_else(|_| Plan::make(table, &Chat, simple.to_string().as_bytes()))
                .expect("a plain request");
            let mut whole = plan.clone();
            whole.stream = false;
            whole.include_usage = false;
            Streamed { recorded, plan, whole }
        })
        .collect()
}

/// Runs `test` over all recorded streams on all cores, and names those that fail.
fn each(test: impl Fn(&Table, &Streamed) + Sync) {
    let table = table();
    let streams = streams(&table);
    assert!(streams.len() > 50, "{} recorded streams", streams.len());
    let next = AtomicUsize::new(0);
    let failed: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut failed = Vec::new();
            while let Some(streamed) = streams.get(next.fetch_add(1, Ordering::Relaxed)) {
                let test = std::panic::AssertUnwindSafe(|| test(&table, streamed));
                if std::panic::catch_unwind(test).is_err() {
                    failed.push(streamed.recorded.name.clone());
                }
            }
            failed
        };
        let handles: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().expect("a thread")).collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

fn events_of(raw: &[u8]) -> Vec<Value> {
    let head = naive::head(raw).expect("a head");
    let (body, _) = naive::dechunk(&raw[head.length..]).expect("chunked");
    let events = naive::events(&body).into_iter().map(|(_, data)| data);
    events
        .take_while(|data| data != b"[DONE]")
        .map(|data| serde_json::from_slice(&data).expect("JSON"))
        .collect()
}

/// The stream's rules determine which streams are valid, and the oracle what a valid one is assembled to.
#[test]
fn what_is_a_good_stream_is_a_good_answer_and_what_fails_fails_alike() {
    each(|table, Streamed { recorded, plan, whole }| {
        let Recorded { name, raw, .. } = recorded;
        let streamed = Answer::read(&run(table, plan, &[raw], Ending::Eof).wire);
        let ran = run(table, whole, &[raw], Ending::Eof);
        let answer = Answer::read(&ran.wire);
        let Some(error) = streamed.error() else {
            shape::body(&answer, INSTANT, plan.n as usize)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let expected = oracle::whole(&events_of(raw), INSTANT, START.unix_seconds());
            assert_eq!(answer.json(), expected, "{name}");
            for choice in 0..plan.n {
                let message = &answer.json()["choices"][choice as usize]["message"];
                let content = message["content"].as_str().unwrap_or_default();
                assert_eq!(content, streamed.content(u64::from(choice)), "{name}");
            }
            return;
        };
        let own = answer.error().unwrap_or_else(|| panic!("{name}: no error"));
        assert_eq!((own.code, own.message), (error.code, error.message), "{name}");
        assert!(own.status >= 400, "{name}");
    });
}

/// The middle of a long recording is repetitive, so only every 29th position is tested there.
fn is_taken(at: usize, raw: &[u8]) -> bool {
    at < 1000 || at + 1000 > raw.len() || at.is_multiple_of(29)
}

#[test]
fn split_at_every_byte_it_is_the_same() {
    each(|table, Streamed { recorded: Recorded { name, raw, .. }, whole, .. }| {
        let expected = run(table, whole, &[raw], Ending::Eof).wire;
        for at in (0..=raw.len()).filter(|at| is_taken(*at, raw)) {
            let (one, other) = raw.split_at(at);
            let ran = run(table, whole, &[one, other], Ending::Eof);
            assert!(ran.wire == expected, "{name} split at {at}: {}", show(&ran.wire));
        }
    });
}

#[test]
fn cut_at_every_byte_it_is_an_answer_only_where_the_stream_is_one() {
    each(|table, Streamed { recorded: Recorded { name, raw, .. }, plan, whole }| {
        for cut in (0..raw.len()).filter(|cut| is_taken(*cut, raw)) {
            for ending in [Ending::Eof, Ending::Lost] {
                let streamed = Answer::read(&run(table, plan, &[&raw[..cut]], ending).wire).error();
                let ran = run(table, whole, &[&raw[..cut]], ending);
                assert!(ran.finished, "{name} cut at {cut}");
                let own = Answer::read(&ran.wire).error();
                assert_eq!(
                    own.map(|error| error.code),
                    streamed.map(|error| error.code),
                    "{name} cut at {cut}, {ending:?}"
                );
            }
        }
    });
}

/// Servers that answer deterministically, with recordings of both the stream and the whole answer.
const TWINS: [&str; 9] = [
    "vllm-0.32.0/chat",
    "vllm-0.32.0/chat-n2",
    "transformers-5.17/chat",
    "transformers-5.17/tool-forced",
    "llama-server-b11549/chat",
    "llama-server-b11549/chat-logprobs",
    "llama-server-b11549/tool-forced",
    "tgi-3.3.6/chat-end",
    "tgi-3.3.6/chat-end-logprobs",
];

/// Every member of a choice in the server's whole answer is also in the assembled one.
#[test]
fn a_servers_own_whole_answer_says_the_same() {
    let table = table();
    let (streams, recorded) = (streams(&table), all());
    for twin in TWINS {
        let stream = streams.iter().find(|one| one.recorded.name == format!("{twin}-stream"));
        let Streamed { recorded: streamed, whole, .. } = stream.expect(twin);
        let own = recorded.iter().find(|one| one.name == twin).expect(twin);
        let assembled = run(&table, whole, &[&streamed.raw], Ending::Eof).wire;
        let own = run(&table, whole, &[&own.raw], Ending::Eof).wire;
        let (assembled, own) = (Answer::read(&assembled).json(), Answer::read(&own).json());
        let pairs = assembled["choices"].as_array().expect("choices").iter();
        let pairs = pairs.zip(own["choices"].as_array().expect("choices"));
        for (assembled, own) in pairs {
            for part in ["index", "finish_reason", "logprobs"] {
                assert_eq!(assembled[part], own[part], "{twin}: {part}");
            }
            for part in ["role", "content", "refusal", "reasoning", "tool_calls"] {
                assert_eq!(assembled["message"][part], own["message"][part], "{twin}: {part}");
            }
        }
    }
}
