//! Answers split at every byte and cut at every byte.

use serde_json::json;

use crate::oracle::{self, events};
use crate::support::client::Answer;
use crate::support::drive::{Ending, Ran, run};
use crate::support::{naive, show, table};
use crate::wire::{STREAM, plan, response, two, whole_response};

#[test]
fn split_at_every_byte_it_is_the_same() {
    let table = table();
    for (more, wire) in [
        (two(true), response(&events())),
        (json!({"n": 2}), whole_response(&oracle::whole())),
        (two(true), whole_response(&oracle::whole())),
    ] {
        let plan = plan(&table, &more);
        // Each piece becomes an HTTP chunk, so only the decoded body is equal.
        let read = |ran: &Ran| {
            let Answer { status, events, done, body, .. } = Answer::read(&ran.wire);
            (status, events, done, body)
        };
        let whole = run(&table, &plan, &[&wire], Ending::Open);
        assert_eq!(Answer::read(&whole.wire).status, 200, "{}", show(&whole.wire));
        for at in 0..=wire.len() {
            let (one, other) = wire.split_at(at);
            let ran = run(&table, &plan, &[one, other], Ending::Eof);
            assert_eq!(read(&ran), read(&whole), "split at {at}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(&run(&table, &plan, &bytes, Ending::Eof)), read(&whole));
    }
}

#[test]
fn cut_at_every_byte_it_is_an_error_and_never_a_clean_end() {
    let table = table();
    let wire = response(&events());
    let complete = naive::find(&wire, b"data: [DONE]\n\n").expect("[DONE]") + 14;
    let whole = whole_response(&oracle::whole());
    for (more, wire, complete) in [
        (two(true), &wire, complete),
        (json!({"n": 2}), &whole, whole.len()),
        (two(false), &whole, whole.len()),
    ] {
        let plan = plan(&table, &more);
        for cut in 0..wire.len() {
            for ending in [Ending::Eof, Ending::Lost] {
                let ran = run(&table, &plan, &[&wire[..cut]], ending);
                let error = Answer::read(&ran.wire).error();
                assert_eq!(error.is_none(), cut >= complete, "cut at {cut} and {ending:?}");
                if let Some(error) = error {
                    let codes = ["upstream_truncated", "upstream_reset"];
                    assert!(codes.contains(&&*error.code), "{error:?}, cut at {cut}");
                }
            }
        }
    }
}

/// If the message ends with the connection, only finish reasons show whether it is complete.
#[test]
fn without_framing_a_cut_before_the_last_finish_reason_is_an_error() {
    let table = table();
    let plan = plan(&table, &two(false));
    let head = STREAM.replace("transfer-encoding: chunked\r\n", "");
    let lines: Vec<String> = events().iter().map(|event| format!("data: {event}\n\n")).collect();
    let wire = format!("{head}{}data: [DONE]\n\n", lines.concat());
    let last = wire.rfind("\"finish_reason\":\"stop\"").expect("a finish reason");
    let terminal = last + wire[last..].find('\n').expect("a line");
    for cut in head.len()..wire.len() {
        let ran = run(&table, &plan, &[&wire.as_bytes()[..cut]], Ending::Eof);
        let error = Answer::read(&ran.wire).error();
        if cut < terminal {
            let error = error.unwrap_or_else(|| panic!("a clean end, cut at {cut}"));
            assert_eq!(error.code, "upstream_truncated", "cut at {cut}");
        }
    }
    let ran = run(&table, &plan, &[wire.as_bytes()], Ending::Eof);
    assert_eq!(Answer::read(&ran.wire).error(), None);
}
