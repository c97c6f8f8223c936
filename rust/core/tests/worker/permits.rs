//! Permits after their client: closing until the backend's end, or for so long; and never given back twice.

use penstock_core::time::{MILLISECOND, SECOND};
use serde_json::json;

use crate::config::{A, on};
use crate::fake::Effect::{Close, Connect, Done, Drop, HalfClose, Send, Write};
use crate::harness::Harness;
use crate::replies::{LAST_CHUNK, STREAM, finish, stream, text, whole};

/// How long a backend may take to stop, and how long it counts at least.
const GRACE: u64 = 250 * MILLISECOND;

/// One slot, and its request is aborted.
fn aborted() -> Harness {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.gone(1);
    assert_eq!(h.take(), [Drop(1), HalfClose(0)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 1], 0));
    h
}

#[test]
fn an_aborted_request_holds_its_permit_until_the_backend_s_end() {
    for end in [Harness::eof, Harness::reset, Harness::closed] {
        let mut h = aborted();
        h.submit(2);
        assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 1]));
        h.bytes(0, &stream());
        assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 1]), "what comes is discarded");
        end(&mut h, 0);
        assert_eq!((h.take(), h.counts()), (vec![Close(0), Connect(1, A)], [0, 1, 0]));
    }
}

#[test]
fn or_until_its_grace_is_over() {
    let mut h = aborted();
    h.submit(2);
    assert_eq!(h.pass_until_effect(SECOND), GRACE);
    assert_eq!((h.take(), h.counts()), (vec![Close(0), Connect(1, A)], [0, 1, 0]));
}

#[test]
fn where_the_engine_goes_on_behind_a_closed_connection_the_permit_is_held() {
    let mut config = on(&["a"], 1);
    config["backends"][0]["abort_hold"] = json!(0.5);
    let mut h = Harness::new(config);
    h.start(1);
    h.gone(1);
    h.take();
    h.pass(100 * MILLISECOND);
    h.eof(0);
    assert_eq!((h.take(), h.counts()), (vec![Close(0)], [0, 0, 1]));
    h.submit(2);
    h.closed(0);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 1]));
    assert_eq!(h.pass_until_effect(SECOND), 400 * MILLISECOND);
    assert_eq!((h.take(), h.counts()), (vec![Connect(1, A)], [0, 1, 0]), "closed once");
}

#[test]
fn behind_the_hold_the_backend_s_end_counts_at_once() {
    let mut config = on(&["a"], 1);
    config["backends"][0]["abort_hold"] = json!(0.5);
    config["backends"][0]["abort_grace"] = json!(2.0);
    let mut h = Harness::new(config);
    h.start(1);
    h.gone(1);
    h.take();
    h.pass(600 * MILLISECOND);
    assert_eq!(h.counts(), [0, 0, 1]);
    h.eof(0);
    assert_eq!((h.take(), h.counts()), (vec![Close(0)], [0, 0, 0]));
}

#[test]
fn each_permit_comes_back_once() {
    let mut h = aborted();
    h.submit(2);
    h.submit(3);
    h.eof(0);
    h.eof(0);
    h.reset(0);
    h.pass(GRACE);
    assert_eq!(h.take(), [Close(0), Connect(1, A)]);
    assert_eq!(h.counts(), [1, 1, 0], "one slot: the third still waits");
}

#[test]
fn a_late_event_of_a_closed_connection_does_nothing() {
    let mut h = aborted();
    h.eof(0);
    assert_eq!(h.take(), [Close(0)]);
    h.start(2);
    // Their places are the same.
    assert_eq!(h.sockets.id(0).place(), h.sockets.id(1).place());
    for late in
        [Harness::connected, Harness::refused, Harness::eof, Harness::reset, Harness::closed]
    {
        late(&mut h, 0);
        h.bytes(0, &whole());
        assert_eq!((h.take(), h.counts()), (vec![], [0, 1, 0]));
    }
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Write(2), Done(2, true)]);
}

#[test]
fn a_late_event_of_an_ended_request_does_nothing() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    let first = h.request(1).expect("a request");
    h.bytes(0, &stream());
    h.submit(2);
    assert_eq!(h.take(), [Write(1), Done(1, true), Send(0)]);
    let Harness { worker, sockets, now, .. } = &mut h;
    worker.client_gone(sockets, first, *now);
    worker.client_flow(sockets, first, true, *now);
    worker.current = Some(first);
    worker.panicked(sockets, *now);
    worker.note_overhead(first, SECOND);
    assert_eq!((h.take(), h.counts()), (vec![], [0, 1, 0]));
}

#[test]
fn a_served_client_s_permit_waits_for_the_end_of_the_message() {
    for (end, is_reused) in [(Harness::eof as fn(&mut Harness, usize), false), (ends_well, true)] {
        let mut h = Harness::new(on(&["a"], 1));
        h.start(1);
        h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
        h.take();
        h.submit(2);
        assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 1]));
        end(&mut h, 0);
        let expected = if is_reused { vec![Send(0)] } else { vec![Close(0), Connect(1, A)] };
        assert_eq!((h.take(), h.counts()), (expected, [0, 1, 0]));
    }
}

fn ends_well(h: &mut Harness, connection: usize) {
    h.bytes(connection, LAST_CHUNK);
}

#[test]
fn a_connection_that_was_never_open_gives_its_permit_back_at_once() {
    let mut h = Harness::new(on(&["a"], 1));
    h.submit(1);
    h.gone(1);
    assert_eq!(h.take(), [Connect(0, A), Drop(1), Close(0)]);
    assert_eq!(h.counts(), [0, 0, 0]);
    h.connected(0);
    assert_eq!(h.take(), [], "it comes up too late");
}

#[test]
fn a_backend_that_may_still_write_is_half_closed() {
    // Garbage: what it sends is no answer, so nobody knows whether it is at work.
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, b"SSH-2.0-OpenSSH_9.6\r\n");
    assert_eq!(h.take(), [Write(1), Done(1, true), HalfClose(0)]);
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 1], 0));
    h.pass(GRACE);
    assert_eq!((h.take(), h.counts()), (vec![Close(0)], [0, 0, 0]));
}
