//! A client leaves, at any moment.

use penstock_core::exchange::AttemptResult;
use penstock_core::metrics::Total;
use serde_json::json;

use crate::config::{A, on};
use crate::fake::Effect::{Close, Connect, Done, Drop, HalfClose, Write};
use crate::harness::Harness;
use crate::replies::{LAST_CHUNK, STREAM, finish, full, stream, text, whole};

/// Of the only log line since the last call: who ended the request and where, and its status.
fn ended(h: &mut Harness) -> (String, u64) {
    let lines = h.log();
    let [line] = &lines[..] else { panic!("one line: {lines:?}") };
    assert_eq!(line["outcome"], json!("client_abort"));
    assert_eq!(h.segment.registry.total(Total::ClientAborts), 1);
    let term = line["term"].as_str().expect("term").to_owned();
    (term, line["status"].as_u64().expect("status"))
}

#[test]
fn in_the_queue() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.submit(2);
    h.submit(3);
    h.gone(2);
    assert_eq!((h.take(), h.counts()), (vec![Drop(2)], [1, 1, 0]));
    assert_eq!(ended(&mut h), ("CQ".to_owned(), 499));
    h.bytes(0, &stream());
    assert_eq!(h.take()[..2], [Write(1), Done(1, true)]);
    assert_eq!(h.counts(), [0, 1, 0], "the third runs");
}

#[test]
fn in_the_queue_with_a_grant_on_its_way() {
    let mut first = Harness::new(on(&["a"], 1));
    let mut second = first.neighbour();
    second.start_whole(7);
    first.submit(1);
    second.bytes(0, &whole());
    assert_eq!(first.counts(), [0, 1, 0]);
    first.gone(1);
    assert_eq!((first.take(), first.counts()), (vec![Drop(1)], [0, 0, 0]));
    assert_eq!(ended(&mut first), ("CQ".to_owned(), 499));
    first.woken();
    assert_eq!((first.take(), first.counts()), (vec![], [0, 0, 0]));
}

#[test]
fn while_connecting() {
    let mut h = Harness::new(on(&["a"], 1));
    h.submit(1);
    h.submit(2);
    h.gone(1);
    assert_eq!(h.take(), [Connect(0, A), Drop(1), Close(0), Connect(1, A)]);
    assert_eq!(h.counts(), [0, 1, 0]);
    assert_eq!(ended(&mut h), ("CC".to_owned(), 499));
    assert_eq!(h.attempts(A, AttemptResult::Cancelled), 1);
}

#[test]
fn before_the_first_event() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, STREAM);
    h.gone(1);
    assert_eq!((h.take(), h.counts()), (vec![Drop(1), HalfClose(0)], [0, 0, 1]));
    assert_eq!(ended(&mut h), ("CF".to_owned(), 499));
    assert_eq!(h.attempts(A, AttemptResult::Cancelled), 1);
}

#[test]
fn in_the_middle_of_the_answer() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("half")].concat());
    h.gone(1);
    assert_eq!(h.take(), [Write(1), Drop(1), HalfClose(0)]);
    assert_eq!(h.counts(), [0, 0, 1]);
    assert_eq!(ended(&mut h), ("CS".to_owned(), 200));
}

#[test]
fn while_it_waits_again() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &full(429, 1));
    h.gone(1);
    assert_eq!((h.take(), h.counts()), (vec![Drop(1)], [0, 0, 0]));
    assert_eq!(ended(&mut h), ("CQ".to_owned(), 499));
    assert_eq!(h.attempts(A, AttemptResult::Cancelled), 0, "no attempt was running");
}

#[test]
fn behind_its_answer() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    h.gone(1);
    assert_eq!((h.take(), h.counts()), (vec![], [0, 0, 1]), "the backend ends in peace");
    h.bytes(0, LAST_CHUNK);
    assert_eq!((h.take(), h.counts()), (vec![], [0, 0, 0]));
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
}

#[test]
fn twice() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.gone(1);
    h.take();
    h.gone(1);
    assert_eq!((h.take(), h.counts()), (vec![], [0, 0, 1]));
    assert_eq!(ended(&mut h), ("CF".to_owned(), 499));
}

#[test]
fn before_its_request_was_read() {
    let mut h = Harness::new(on(&["a"], 1));
    let Harness { worker, now, .. } = &mut h;
    worker.count_left_early("req-1".to_owned(), 5, *now);
    assert_eq!(ended(&mut h), ("CR".to_owned(), 499));
}
