//! Connections that carry one request after the other.

use penstock_core::exchange::AttemptResult;
use penstock_core::time::{MILLISECOND, SECOND};
use serde_json::json;

use crate::config::{A, B, on, on_with};
use crate::fake::Effect::{Close, Connect, Done, Send, Write};
use crate::harness::Harness;
use crate::replies::{LAST_CHUNK, STREAM, finish, response, stream, text, whole};

/// How long `on` lets a connection be idle.
const KEEP_ALIVE: u64 = 3 * SECOND;

/// A harness without a retry budget, and a connection that has carried an answer and is idle.
fn with_idle(backends: &[&str]) -> Harness {
    let mut h = Harness::new(on_with(backends, 2, &[("retry_budget", json!(0.0))]));
    h.start_whole(1);
    h.bytes(0, &whole());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    h
}

#[test]
fn the_connection_that_was_used_last_is_used_first() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start_whole(1);
    h.start_whole(2);
    h.bytes(0, &whole());
    h.pass(SECOND);
    h.bytes(1, &whole());
    h.take();
    h.submit(3);
    h.submit(4);
    assert_eq!(h.take(), [Send(1), Send(0)]);
}

#[test]
fn a_stream_that_ends_as_framed_leaves_its_connection_open() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    h.submit(2);
    assert_eq!(h.take(), [Send(0)]);
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_not_used() {
    let mut h = with_idle(&["a"]);
    h.now.mono += KEEP_ALIVE - 1;
    h.submit(2);
    assert_eq!(h.take(), [Send(0)]);
    h.bytes(0, &stream());
    h.take();
    h.now.mono += KEEP_ALIVE;
    h.submit(3);
    assert_eq!(h.take(), [Connect(1, A)], "the tick closes the old one");
    h.pass(10 * MILLISECOND);
    assert_eq!(h.take(), [Close(0)]);
}

#[test]
fn each_backend_has_its_own() {
    let mut h = with_idle(&["a", "b"]);
    // Nobody has read these prompts before, so the second goes to the emptier backend.
    h.submit(2);
    assert_eq!(h.take(), [Connect(1, B)]);
    h.submit(3);
    assert_eq!(h.take(), [Send(0)]);
}

#[test]
fn one_that_has_begun_to_close_is_passed_over() {
    let mut h = with_idle(&["a"]);
    h.sockets.ending.push(0);
    h.submit(2);
    assert_eq!(h.take(), [Close(0), Connect(1, A)]);
    assert_eq!(h.counts(), [0, 1, 0]);
}

#[test]
fn what_happens_to_an_idle_connection_closes_it() {
    for happens in [Harness::eof, Harness::reset, Harness::closed] {
        let mut h = with_idle(&["a"]);
        happens(&mut h, 0);
        assert_eq!(h.take(), [Close(0)]);
        h.submit(2);
        assert_eq!(h.take(), [Connect(1, A)]);
    }
    // Bytes that nobody has asked for must not become the next request's answer.
    let mut h = with_idle(&["a"]);
    h.bytes(0, &whole());
    assert_eq!(h.take(), [Close(0)]);
}

#[test]
fn a_reused_connection_that_was_dead_costs_nothing() {
    let mut h = with_idle(&["a"]);
    h.log();
    h.submit(2);
    assert_eq!(h.take(), [Send(0)]);
    h.reset(0);
    // On a fresh connection, without a budget for retries, and with the permit taken all the time.
    assert_eq!(h.take(), [Close(0), Connect(1, A)]);
    assert_eq!(h.counts(), [0, 1, 0]);
    assert!(h.worker.outages.is_empty());
    h.connected(1);
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Send(1), Write(2), Done(2, true)]);
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
    assert_eq!(h.attempts(A, AttemptResult::Reset), 1);
    assert_eq!(h.attempts(A, AttemptResult::Ok), 2);
}

#[test]
fn a_server_that_has_closed_an_idle_connection_may_say_408() {
    let mut h = with_idle(&["a"]);
    h.submit(2);
    h.bytes(0, &response(408, "connection: close\r\n", ""));
    assert_eq!(h.take(), [Send(0), Close(0), Connect(1, A)]);
}

#[test]
fn the_second_try_takes_no_idle_connection_either() {
    let mut h = Harness::new(on_with(&["a"], 3, &[("retry_budget", json!(0.0))]));
    h.start_whole(1);
    h.start_whole(2);
    h.bytes(0, &whole());
    h.bytes(1, &whole());
    h.take();
    h.submit(3);
    assert_eq!(h.take(), [Send(1)]);
    h.reset(1);
    assert_eq!(h.take(), [Close(1), Connect(2, A)], "connection 0 may be as dead");
    h.connected(2);
    h.reset(2);
    // A fresh one was not dead before: this is a failure of the backend.
    assert_eq!(h.take(), [Send(2), Write(3), Done(3, true), Close(2)]);
    assert_eq!(h.error(3), (502, "upstream_reset".to_owned()));
    assert_eq!(h.counts(), [0, 0, 0]);
}

#[test]
fn long_after_its_request_a_connection_was_not_dead_before() {
    let mut h = with_idle(&["a"]);
    h.submit(2);
    assert_eq!(h.take(), [Send(0)]);
    h.pass(KEEP_ALIVE);
    h.reset(0);
    assert_eq!(h.take(), [Write(2), Done(2, true), Close(0)]);
}

#[test]
fn what_may_carry_no_other_request_is_closed() {
    // Bytes behind the answer.
    let mut h = Harness::new(on(&["a"], 2));
    h.start_whole(1);
    h.bytes(0, &[&whole()[..], b"HTTP/1.1"].concat());
    assert_eq!(h.take(), [Write(1), Done(1, true), Close(0)]);
    // The server says that it closes.
    let text_of_whole = String::from_utf8(whole()).expect("text");
    let closing = text_of_whole.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    h.start_whole(2);
    h.bytes(1, closing.as_bytes());
    assert_eq!(h.take(), [Write(2), Done(2, true), Close(1)]);
    // It has answered before it had the whole request.
    h.start_whole(3);
    h.sockets.unflushed.push(2);
    h.bytes(2, &whole());
    assert_eq!(h.take(), [Write(3), Done(3, true), Close(2)]);
    assert_eq!(h.counts(), [0, 0, 0]);
}

#[test]
fn behind_the_last_event_only_the_end_of_the_message_frees_a_connection() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 1], 1));
    h.submit(2);
    assert_eq!(h.take(), [], "the backend may be at work still");
    h.bytes(0, LAST_CHUNK);
    assert_eq!(h.take(), [Send(0)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 1, 0], 1));
}
