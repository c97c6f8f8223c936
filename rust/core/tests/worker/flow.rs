//! A client that does not read: its backend is not read either.

use penstock_core::time::SECOND;

use crate::config::{A, on};
use crate::fake::Effect::{Close, Connect, Done, Drop, HalfClose, Pause, Resume, Send, Write};
use crate::harness::Harness;
use crate::replies::{LAST_CHUNK, STREAM, finish, stream, text};

#[test]
fn a_backend_is_paused_once_and_resumed_once() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("a")].concat());
    h.take();
    for _ in 0..2 {
        h.flow(1, true);
        h.flow(1, true);
        assert_eq!(h.take(), [Pause(0)]);
        // What had been read before the pause still goes out.
        h.bytes(0, &text("b"));
        assert_eq!(h.take(), [Write(1)]);
        h.flow(1, false);
        h.flow(1, false);
        assert_eq!(h.take(), [Resume(0)]);
    }
    assert_eq!(h.counts(), [0, 1, 0]);
}

#[test]
fn a_client_that_stops_reading_before_there_is_a_connection_pauses_it_when_it_opens() {
    let mut h = Harness::new(on(&["a"], 1));
    h.submit(1);
    h.flow(1, true);
    assert_eq!(h.take(), [Connect(0, A)]);
    h.connected(0);
    assert_eq!(h.take(), [Send(0), Pause(0)]);
    h.flow(1, false);
    assert_eq!(h.take(), [Resume(0)]);
}

#[test]
fn one_that_reads_again_before_the_connection_opens_pauses_nothing() {
    let mut h = Harness::new(on(&["a"], 1));
    h.submit(1);
    h.flow(1, true);
    h.flow(1, false);
    h.connected(0);
    assert_eq!(h.take(), [Connect(0, A), Send(0)]);
}

#[test]
fn a_queued_client_that_stops_reading_pauses_the_connection_that_it_gets() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.submit(2);
    h.flow(2, true);
    assert_eq!(h.take(), []);
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Write(1), Done(1, true), Send(0), Pause(0)]);
}

#[test]
fn no_connection_is_paused_while_idle() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.flow(1, true);
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Pause(0), Write(1), Done(1, true), Resume(0)]);
    h.submit(2);
    assert_eq!(h.take(), [Send(0)]);
}

#[test]
fn one_that_reads_again_only_later_is_not_kept() {
    let mut h = Harness::new(on(&["a"], 1));
    h.sockets.resumes_late = true;
    h.start(1);
    h.flow(1, true);
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Pause(0), Write(1), Done(1, true), Resume(0), Close(0)]);
    assert_eq!(h.counts(), [0, 0, 0]);
}

#[test]
fn an_aborted_connection_is_read_for_its_end() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.flow(1, true);
    h.gone(1);
    assert_eq!(h.take(), [Pause(0), Drop(1), Resume(0), HalfClose(0)]);
    assert_eq!(h.counts(), [0, 0, 1]);
}

#[test]
fn behind_its_answer_a_client_has_no_say() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    h.take();
    h.flow(1, true);
    assert_eq!(h.take(), [], "the backend's message goes on");
    h.bytes(0, LAST_CHUNK);
    assert_eq!((h.take(), h.counts()), (vec![], [0, 0, 0]));
}

#[test]
fn silence_while_paused_is_not_the_backend_s() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("a")].concat());
    h.flow(1, true);
    h.take();
    h.pass(20 * SECOND);
    assert_eq!(h.take(), [], "15 s between events are allowed");
    h.flow(1, false);
    assert_eq!(h.take(), [Resume(0)]);
    // It has its whole time from now on.
    assert_eq!(h.pass_until_effect(16 * SECOND), 15 * SECOND);
    assert_eq!(h.take(), [Write(1), Done(1, true), HalfClose(0)]);
    assert_eq!(h.error(1).1, "upstream_stalled");
}

#[test]
fn a_client_that_never_reads_has_the_total_time() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("a")].concat());
    h.flow(1, true);
    h.take();
    assert_eq!(h.pass_until_effect(121 * SECOND), 120 * SECOND);
    assert_eq!(h.take(), [Write(1), Done(1, true), Resume(0), HalfClose(0)]);
    assert_eq!(h.error(1).1, "deadline_exceeded");
}
