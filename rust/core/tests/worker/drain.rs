//! The end of a worker: nothing new, then what still runs is cut, then everything closes.

use crate::config::{A, body, on};
use crate::fake::Effect::{Close, Connect, Done, HalfClose, Send, Write};
use crate::harness::Harness;
use crate::replies::{STREAM, finish, stream, text, whole};
use crate::support::THINKING;

/// The places of the two tiers.
const FIRST: u16 = 0;
const SECOND: u16 = 1;

#[test]
fn idle_connections_close_and_no_connection_is_kept() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start_whole(1);
    h.start(2);
    h.bytes(0, &whole());
    h.take();
    h.drain();
    assert_eq!(h.take(), [Close(0)]);
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Write(2), Done(2, false), Close(1)]);
    let answer = h.answer(2);
    assert_eq!((answer.error(), answer.get("connection")), (None, Some("close")));
    assert_eq!(h.counts(), [0, 0, 0]);
}

#[test]
fn a_head_that_is_out_cannot_be_changed() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("a")].concat());
    h.drain();
    h.bytes(0, &[finish(), b"0\r\n\r\n".to_vec()].concat());
    assert_eq!(h.take(), [Write(1), Write(1), Done(1, true), Close(0)]);
}

#[test]
fn what_waits_is_still_served() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.submit(2);
    h.drain();
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Write(1), Done(1, false), Close(0), Connect(1, A)]);
    h.connected(1);
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Send(1), Write(2), Done(2, false), Close(1)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 0], 0));
}

#[test]
fn a_cut_ends_what_streams_runs_and_waits() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    h.bytes(0, &[STREAM, &text("half")].concat());
    h.start(2);
    h.submit(3);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 2, 0]));
    h.drain();
    h.cut(&[FIRST]);
    let effects = h.take();
    assert_eq!(effects[..3], [Write(1), Done(1, true), HalfClose(0)]);
    assert_eq!(effects[3..6], [Write(2), Done(2, false), HalfClose(1)]);
    assert_eq!(effects[6..], [Write(3), Done(3, false)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 2], 0));
    let error = h.answer(1).error().expect("an error");
    assert!(error.in_stream && error.code == "draining");
    for client in [2, 3] {
        assert_eq!(h.error(client), (503, "draining".to_owned()));
    }
    let terms: Vec<_> = h.log().iter().map(|line| line["term"].clone()).collect();
    assert_eq!(terms, ["GS", "GF", "GQ"]);
}

#[test]
fn a_cut_spares_other_tiers_and_lets_them_in() {
    let mut h = Harness::new(on(&["a"], 1));
    h.submit(1);
    h.submit_body(2, &body(THINKING, "x", true));
    assert_eq!((h.take(), h.counts()), (vec![Connect(0, A)], [1, 1, 0]));
    h.cut(&[SECOND]);
    assert_eq!((h.take(), h.counts()), (vec![Write(2), Done(2, true)], [0, 1, 0]));
    h.submit_body(3, &body(THINKING, "x", true));
    h.cut(&[FIRST]);
    assert_eq!(h.take(), [Write(1), Done(1, true), Close(0), Connect(1, A)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 1, 0], 1));
}

#[test]
fn a_cut_does_not_tell_a_served_client_again() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    h.cut(&[FIRST]);
    assert_eq!((h.take(), h.counts()), (vec![], [0, 0, 1]));
}

#[test]
fn at_the_end_everything_closes_and_backends_at_work_keep_their_permits() {
    let mut h = Harness::new(on(&["a"], 5));
    for client in 1..=4 {
        h.start(client);
    }
    h.submit(5);
    assert_eq!(h.take(), [Connect(4, A)]);
    // One is aborted, one lingers, one streams, one is idle, and one connects.
    h.gone(1);
    h.bytes(1, &[STREAM, &text("hi"), &finish()].concat());
    h.bytes(2, &[STREAM, &text("half")].concat());
    h.bytes(3, &stream());
    assert_eq!(h.counts(), [0, 2, 2]);
    h.take();
    h.shut_down();
    let effects = h.take();
    assert_eq!(effects[..4], [Close(3), Write(3), Done(3, true), HalfClose(2)]);
    assert_eq!(effects[4..7], [Write(5), Done(5, false), Close(4)]);
    assert_eq!(effects[7..], [HalfClose(1), Close(0), Close(2), Close(1)]);
    // Whoever reclaims this worker's life gives them back after the grace.
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 3], 0));
}
