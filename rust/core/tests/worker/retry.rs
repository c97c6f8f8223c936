//! An attempt has failed before the client had anything: again, elsewhere, or not.

use penstock_core::exchange::{AttemptResult, Failure};
use penstock_core::time::SECOND;
use serde_json::json;

use crate::config::{A, B, body, on, on_with};
use crate::fake::Effect::{Close, Connect, Done, HalfClose, Send, Write};
use crate::harness::Harness;
use crate::replies::{STREAM, response, stream, text, unavailable};
use crate::support::THINKING;

/// Two backends without a retry budget.
fn without_budget() -> Harness {
    Harness::new(on_with(&["a", "b"], 2, &[("retry_budget", json!(0.0))]))
}

fn tls() -> Failure {
    Failure::Tls { detail: "unknown issuer".to_owned() }
}

#[test]
fn a_refused_connection_is_no_attempt() {
    let mut h = without_budget();
    h.submit(1);
    assert_eq!(h.take(), [Connect(0, A)]);
    h.refused(0);
    assert_eq!((h.take(), h.counts()), (vec![Close(0), Connect(1, B)], [0, 1, 0]));
    h.connected(1);
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Send(1), Write(1), Done(1, true)]);
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
    assert_eq!(h.attempts(A, AttemptResult::ConnectFailed), 1);
    assert_eq!(h.attempts(B, AttemptResult::Ok), 1);
}

#[test]
fn every_way_not_to_get_a_connection_is_no_attempt() {
    for failure in [Failure::Connect { detail: "unreachable".to_owned() }, Failure::ConnectTimeout]
    {
        let mut h = without_budget();
        h.submit(1);
        h.connect_failed(0, &failure);
        assert_eq!(h.take(), [Connect(0, A), Close(0), Connect(1, B)], "{failure:?}");
    }
}

#[test]
fn without_trust_another_backend_is_tried_once_and_free() {
    let mut h = without_budget();
    h.submit(1);
    h.connect_failed(0, &tls());
    assert_eq!(h.take(), [Connect(0, A), Close(0), Connect(1, B)]);
    assert_eq!(h.counts(), [0, 1, 0]);
    h.connect_failed(1, &tls());
    assert_eq!(h.take(), [Write(1), Done(1, true), Close(1)]);
    assert_eq!(h.error(1), (502, "upstream_tls".to_owned()));
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 0], 0));
    assert_eq!(h.ended(), ("BC".to_owned(), 2));
}

#[test]
fn a_broken_connection_is_retried_on_the_other_backend() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.start(1);
    h.reset(0);
    // The first attempt's permit is back before the second's is asked for.
    assert_eq!(h.take(), [Close(0), Connect(1, B)]);
    assert_eq!(h.counts(), [0, 1, 0]);
    assert_eq!(h.segment.admission.invariants().arrived, 2, "it was offered again");
    h.connected(1);
    h.reset(1);
    assert_eq!(h.take(), [Send(1), Write(1), Done(1, true), Close(1)], "two attempts at most");
    assert_eq!(h.error(1), (502, "upstream_reset".to_owned()));
    assert_eq!(h.ended(), ("BF".to_owned(), 2));
    assert_eq!(h.attempts(A, AttemptResult::Reset), 1);
    assert_eq!(h.attempts(B, AttemptResult::Reset), 1);
}

#[test]
fn two_attempts_are_all_however_many_backends_there_are() {
    let mut h = Harness::new(on(&["a", "b", "c"], 2));
    h.start(1);
    h.reset(0);
    assert_eq!(h.take(), [Close(0), Connect(1, B)]);
    h.connected(1);
    h.reset(1);
    assert_eq!(h.take(), [Send(1), Write(1), Done(1, true), Close(1)]);
    assert_eq!((h.counts(), h.ended()), ([0, 0, 0], ("BF".to_owned(), 2)));
}

#[test]
fn the_retry_never_goes_to_the_backend_that_has_failed() {
    let mut h = Harness::new(on(&["a", "b"], 1));
    h.start(1);
    h.start(2);
    h.reset(0);
    // A is free and B is not: it waits for B.
    assert_eq!((h.take(), h.counts()), (vec![Close(0)], [1, 1, 0]));
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Write(2), Done(2, true), Send(1)]);
}

#[test]
fn without_budget_nothing_is_sent_twice() {
    for fails in [
        |h: &mut Harness| h.reset(0),
        |h: &mut Harness| h.bytes(0, &response(502, "", "{\"error\":{\"message\":\"x\"}}")),
        |h: &mut Harness| h.bytes(0, &unavailable()),
    ] {
        let mut h = without_budget();
        h.start(1);
        fails(&mut h);
        assert_eq!(h.take()[..2], [Write(1), Done(1, true)]);
        assert_eq!((h.answer(1).status, h.counts()), (502, [0, 0, 0]));
        assert_eq!(h.ended(), ("BF".to_owned(), 1));
    }
}

#[test]
fn the_budget_is_spent_and_refilled() {
    let mut h = Harness::new(on_with(&["a", "b"], 2, &[("retry_budget", json!(0.001))]));
    let mut client = 0;
    let mut is_retried = |h: &mut Harness| {
        client += 1;
        let connection = h.start(client);
        let fault = response(504, "connection: close\r\n", "{\"error\":{\"message\":\"x\"}}");
        h.bytes(connection, &fault);
        let is_retried = h.answer_status(client).is_none();
        if is_retried {
            h.gone(client);
        }
        h.take();
        is_retried
    };
    let retried = (0..12).filter(|_| is_retried(&mut h)).count();
    assert_eq!(retried, 10, "the floor of a window");
    h.now.mono += SECOND;
    assert!(is_retried(&mut h), "one more each second");
    assert!(!is_retried(&mut h));
}

#[test]
fn silence_is_retried_where_answers_are_expected_at_once() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.start(1);
    assert_eq!(h.pass_until_effect(11 * SECOND), 10 * SECOND);
    assert_eq!(h.take(), [HalfClose(0), Connect(1, B)]);
    assert_eq!(h.counts(), [0, 1, 1], "the silent one may be at work still");
    assert_eq!(h.segment.silences(A), 1);
    // Behind it only the other attempt's timers run.
    h.eof(0);
    assert_eq!((h.take(), h.counts()), (vec![Close(0)], [0, 1, 0]));
}

#[test]
fn silence_of_a_thinking_model_is_final() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.submit_body(1, &body(THINKING, "x", true));
    h.connected(0);
    h.take();
    assert_eq!(h.pass_until_effect(11 * SECOND), 10 * SECOND);
    assert_eq!(h.take(), [Write(1), Done(1, true), HalfClose(0)]);
    assert_eq!(h.error(1), (504, "upstream_timeout".to_owned()));
    assert_eq!(h.counts(), [0, 0, 1]);
}

#[test]
fn what_another_backend_would_answer_alike_is_final() {
    for (reply, status, code) in [
        (response(400, "", "{\"error\":{\"message\":\"x\"}}"), 400, "invalid_value"),
        (response(500, "", "{\"error\":{\"message\":\"x\"}}"), 502, "upstream_error"),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), 502, "upstream_garbage"),
    ] {
        let mut h = Harness::new(on(&["a", "b"], 2));
        h.start(1);
        h.bytes(0, &reply);
        assert_eq!(h.take()[..2], [Write(1), Done(1, true)], "{code}");
        assert_eq!(h.error(1), (status, code.to_owned()));
        assert_eq!(h.ended().1, 1, "{code}");
    }
}

#[test]
fn an_answer_that_has_begun_is_not_begun_again() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.start(1);
    h.bytes(0, &[STREAM, &text("half")].concat());
    assert_eq!(h.take(), [Write(1)]);
    h.reset(0);
    assert_eq!(h.take(), [Write(1), Done(1, true), Close(0)]);
    let error = h.answer(1).error().expect("an error");
    assert!(error.in_stream && error.code == "upstream_reset");
    assert_eq!(h.counts(), [0, 0, 0]);
    assert_eq!(h.ended(), ("BS".to_owned(), 1));
}

#[test]
fn what_was_held_back_of_a_failed_attempt_is_not_shown() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.start(1);
    h.bytes(0, &[STREAM, &text("")].concat());
    assert_eq!(h.take(), [], "nothing meaningful has come");
    h.eof(0);
    assert_eq!(h.take(), [Close(0), Connect(1, B)]);
    h.connected(1);
    h.bytes(1, &stream());
    assert_eq!((h.answer(1).error(), h.answer(1).content(0)), (None, "hello".to_owned()));
}
