//! A panic while a request was handled: that one is lost, everything else goes on.

use crate::config::{A, on};
use crate::fake::Effect::{Close, Connect, Done, HalfClose, Write};
use crate::harness::Harness;
use crate::replies::{STREAM, finish, stream, text};

#[test]
fn over_a_request_that_waits() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.submit(2);
    h.panicked(2);
    assert_eq!((h.take(), h.counts()), (vec![Write(2), Done(2, true)], [0, 1, 0]));
    assert_eq!(h.error(2), (500, "internal_error".to_owned()));
    h.bytes(0, &stream());
    assert_eq!((h.answer(1).error(), h.counts()), (None, [0, 0, 0]));
}

#[test]
fn over_a_request_that_connects() {
    let mut h = Harness::new(on(&["a"], 1));
    h.submit(1);
    h.submit(2);
    h.panicked(1);
    assert_eq!(h.take(), [Connect(0, A), Write(1), Done(1, true), Close(0), Connect(1, A)]);
    assert_eq!((h.error(1).0, h.counts()), (500, [0, 1, 0]));
}

#[test]
fn over_a_request_that_streams() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    h.start(2);
    h.bytes(0, &[STREAM, &text("half")].concat());
    h.take();
    h.panicked(1);
    assert_eq!((h.take(), h.counts()), (vec![Write(1), Done(1, true), HalfClose(0)], [0, 1, 1]));
    let error = h.answer(1).error().expect("an error");
    assert!(error.in_stream && error.code == "internal_error");
    assert_eq!(h.ended().0, "GF");
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Write(2), Done(2, true)]);
}

#[test]
fn over_a_request_whose_client_is_served() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    h.take();
    h.panicked(1);
    assert_eq!((h.take(), h.counts()), (vec![HalfClose(0)], [0, 0, 1]));
    assert_eq!((h.ended().0.as_str(), h.worker.active()), ("-D", 0));
}

#[test]
fn over_no_request_with_a_permit_that_nobody_owns_any_more() {
    let mut h = Harness::new(on(&["a"], 1));
    h.of_same_owner().submit(7);
    h.submit(1);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 1, 0]));
    let Harness { worker, sockets, now, .. } = &mut h;
    worker.current = None;
    worker.panicked(sockets, *now);
    assert_eq!((h.take(), h.counts()), (vec![Connect(0, A)], [0, 1, 0]));
}
