//! What ends a request by itself as time passes.

use penstock_core::routing::TierIndex;
use penstock_core::time::{MILLISECOND, SECOND};
use penstock_core::worker::TICK;
use serde_json::json;

use crate::config::{A, B, body, on, on_with};
use crate::fake::Effect::{Close, Connect, Done, HalfClose, Send, Write};
use crate::harness::Harness;
use crate::replies::{STREAM, finish, stream, text};
use crate::support::{INSTANT, THINKING};

#[test]
fn waiting_in_the_queue() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.submit(2);
    assert_eq!(h.pass_until_effect(3 * SECOND), 2 * SECOND);
    assert_eq!((h.take(), h.counts()), (vec![Write(2), Done(2, true)], [0, 1, 0]));
    assert_eq!(h.error(2), (429, "queue_timeout".to_owned()));
    assert!(h.answer(2).get("retry-after-ms").is_some());
    assert_eq!(h.ended(), ("GQ".to_owned(), 0));
}

#[test]
fn the_whole_time_spent_in_the_queue() {
    let change = [("queue/wait", json!(30.0)), ("timeouts/total", json!(5.0))];
    let mut h = Harness::new(on_with(&["a"], 1, &change));
    h.start_whole(1);
    h.pass(SECOND);
    h.submit(2);
    h.submit(3);
    assert_eq!(h.pass_until_effect(6 * SECOND), 4 * SECOND);
    // The first one's backend may be at work still, so its permit is no help.
    assert_eq!(h.take(), [Write(1), Done(1, true), HalfClose(0)]);
    assert_eq!(h.counts(), [2, 0, 1]);
    h.log();
    h.pass(250 * MILLISECOND);
    assert_eq!(h.take(), [Close(0), Connect(1, A)]);
    h.connected(1);
    assert_eq!(h.take(), [Send(1)]);
    assert_eq!(h.pass_until_effect(SECOND), 750 * MILLISECOND);
    assert_eq!(h.take(), [Write(2), Done(2, true), HalfClose(1), Write(3), Done(3, true)]);
    assert_eq!(h.error(2), (504, "deadline_exceeded".to_owned()));
    assert_eq!(h.error(3), (504, "deadline_exceeded".to_owned()));
    let terms: Vec<_> = h.log().iter().map(|line| line["term"].clone()).collect();
    assert_eq!(terms, ["GF", "GQ"], "one at its backend, one in the queue");
    assert_eq!(h.counts(), [0, 0, 1]);
}

#[test]
fn a_connection_that_does_not_come_up() {
    let mut h = Harness::new(on(&["a", "b"], 1));
    h.submit(1);
    assert_eq!(h.take(), [Connect(0, A)]);
    assert_eq!(h.pass_until_effect(2 * SECOND), SECOND);
    assert_eq!((h.take(), h.counts()), (vec![Close(0), Connect(1, B)], [0, 1, 0]));
    h.connected(0);
    assert_eq!(h.take(), [], "it comes up too late");
}

#[test]
fn the_first_event_of_a_stream() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.pass(9 * SECOND);
    // Comments and empty pieces are no answer.
    h.bytes(0, &[STREAM, b"3\r\n:\n\n\r\n", &text("")].concat());
    assert_eq!(h.pass_until_effect(2 * SECOND), SECOND);
    assert_eq!((h.take(), h.counts()), (vec![Write(1), Done(1, true), HalfClose(0)], [0, 0, 1]));
    assert_eq!(h.error(1), (504, "upstream_timeout".to_owned()));
    assert_eq!(h.segment.silences(A), 1);
    assert_eq!(h.ended(), ("GF".to_owned(), 1));
}

#[test]
fn between_two_events() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("a")].concat());
    for _ in 0..3 {
        h.pass(14 * SECOND);
        h.bytes(0, &text("b"));
    }
    h.take();
    h.pass(14 * SECOND);
    h.bytes(0, b"3\r\n:\n\n\r\n");
    assert_eq!(h.pass_until_effect(2 * SECOND), SECOND);
    assert_eq!((h.take(), h.counts()), (vec![Write(1), Done(1, true), HalfClose(0)], [0, 0, 1]));
    let error = h.answer(1).error().expect("an error");
    assert!(error.in_stream && error.code == "upstream_stalled");
    assert_eq!(h.segment.silences(A), 0);
    assert_eq!(h.ended(), ("GS".to_owned(), 1));
}

#[test]
fn the_whole_answer() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start_whole(1);
    assert_eq!(h.pass_until_effect(121 * SECOND), 120 * SECOND, "it has no first event");
    assert_eq!((h.take(), h.counts()), (vec![Write(1), Done(1, true), HalfClose(0)], [0, 0, 1]));
    assert_eq!(h.error(1), (504, "deadline_exceeded".to_owned()));
    assert_eq!(h.segment.silences(A), 1, "it had all the time");
}

#[test]
fn a_connection_that_stays_open_behind_the_last_event() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    h.take();
    h.submit(2);
    assert_eq!(h.counts(), [1, 0, 1]);
    assert_eq!(h.pass_until_effect(2 * SECOND), SECOND);
    assert_eq!((h.take(), h.counts()), (vec![Close(0), Connect(1, A)], [0, 1, 0]));
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
}

#[test]
fn a_client_that_reads_slowly_has_no_time_between_events() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("a")].concat());
    h.pass(14 * SECOND);
    h.flow(1, true);
    h.pass(14 * SECOND);
    h.flow(1, false);
    h.take();
    h.bytes(0, &[text("b"), finish(), b"0\r\n\r\n".to_vec()].concat());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
}

#[test]
fn a_timer_of_an_ended_request_is_nobody_else_s() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.pass(9 * SECOND);
    h.bytes(0, &stream());
    h.submit(2);
    h.take();
    // The second has the place of the first, and its own ten seconds.
    h.pass(9 * SECOND);
    assert_eq!(h.take(), []);
    assert_eq!(h.pass_until_effect(2 * SECOND), SECOND);
    assert_eq!(h.take()[..2], [Write(2), Done(2, true)]);
}

#[test]
fn many_are_due_at_once_when_the_worker_stood_still() {
    let mut h = Harness::new(on(&["a"], 8));
    for client in 1..=8 {
        h.start(client);
    }
    h.now.mono += 60 * SECOND;
    h.pass(TICK);
    assert_eq!(h.take(), [], "what came meanwhile is read first");
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    h.pass(TICK);
    assert_eq!(h.take().len(), 21, "each other is told, and its connection half-closed");
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 7], 0));
    h.pass(SECOND);
    assert_eq!(h.counts(), [0, 0, 0]);
}

#[test]
fn the_queue_s_deadline_comes_before_a_total_time_as_long() {
    let change = [("queue/wait", json!(5.0)), ("timeouts/total", json!(5.0))];
    let mut h = Harness::new(on_with(&["a"], 1, &change));
    h.submit_body(1, &body(THINKING, "x", false));
    h.connected(0);
    h.submit_body(2, &body(INSTANT, "x", false));
    h.take();
    assert_eq!(h.pass_until_effect(6 * SECOND), 5 * SECOND);
    assert_eq!(h.error(2), (429, "queue_timeout".to_owned()));
    let tier: TierIndex = 0;
    assert_eq!(h.segment.admission.tier(tier).queued, 0);
}
