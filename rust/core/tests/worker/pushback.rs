//! A backend has no room for what admission has granted, or has not loaded its model yet.

use penstock_admission::Health;
use penstock_core::exchange::AttemptResult;
use penstock_core::time::{MILLISECOND, SECOND};
use serde_json::json;

use crate::config::{A, B, on, on_with};
use crate::fake::Effect::{Connect, Done, Send, Write};
use crate::harness::Harness;
use crate::replies::{full, loading, response, stream};

#[test]
fn a_full_backend_is_tried_twice_more_and_then_the_client_is_told() {
    let mut h = Harness::new(on_with(&["a"], 2, &[("retry_budget", json!(0.0))]));
    h.start(1);
    for (status, seconds) in [(429, 7), (503, 3)] {
        h.bytes(0, &full(status, seconds));
        assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 0]));
        let pause = h.pass_until_effect(SECOND);
        assert!((50 * MILLISECOND..=200 * MILLISECOND).contains(&pause), "{pause}");
        // The connection is as good as before.
        assert_eq!((h.take(), h.counts()), (vec![Send(0)], [0, 1, 0]));
    }
    h.bytes(0, &full(429, 5));
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!(h.error(1), (429, "upstream_overloaded".to_owned()));
    assert_eq!(h.answer(1).get("retry-after"), Some("7"), "the longest that was asked for");
    assert_eq!((h.counts(), h.worker.active()), ([0, 0, 0], 0));
    assert_eq!(h.ended(), ("BF".to_owned(), 1));
    assert_eq!(h.attempts(A, AttemptResult::Bounced), 3);
}

#[test]
fn who_does_not_say_when_is_asked_again_in_a_second() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    for _ in 0..2 {
        h.bytes(0, &response(429, "", ""));
        h.pass_until_effect(SECOND);
        h.take();
    }
    h.bytes(0, &response(429, "", ""));
    assert_eq!(h.answer(1).get("retry-after"), Some("1"));
}

#[test]
fn another_backend_is_asked_at_once() {
    let mut h = Harness::new(on_with(&["a", "b"], 2, &[("retry_budget", json!(0.0))]));
    h.start(1);
    h.bytes(0, &full(429, 1));
    assert_eq!((h.take(), h.counts()), (vec![Connect(1, B)], [0, 1, 0]));
    h.connected(1);
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Send(1), Write(1), Done(1, true)]);
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
}

#[test]
fn a_503_that_does_not_say_when_is_a_failure() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    h.bytes(0, &response(503, "", "{\"error\":{\"message\":\"busy\"}}"));
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!(h.error(1), (502, "upstream_error".to_owned()));
}

#[test]
fn while_a_model_is_loaded_requests_wait_for_a_probe() {
    let mut h = Harness::new(on_with(&["a"], 2, &[("retry_budget", json!(0.0))]));
    h.start(1);
    h.bytes(0, &loading());
    assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 0]));
    assert!(!h.segment.admission.is_usable(A));
    h.pass(SECOND);
    assert_eq!(h.take(), [], "nobody is sent there");
    h.segment.admission.set_health(A, Health::Healthy, h.now.mono);
    h.pass(10 * MILLISECOND);
    assert_eq!((h.take(), h.counts()), (vec![Send(0)], [0, 1, 0]));
    h.bytes(0, &stream());
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
}

#[test]
fn a_model_that_is_not_loaded_in_time_is_no_backend() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    h.bytes(0, &loading());
    assert_eq!(h.pass_until_effect(3 * SECOND), 2 * SECOND);
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!((h.error(1), h.counts()), ((503, "no_backend".to_owned()), [0, 0, 0]));
}

#[test]
fn others_go_where_the_model_is_loaded() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.start(1);
    h.bytes(0, &loading());
    assert_eq!(h.take(), [Connect(1, B)]);
    h.submit(2);
    assert_eq!(h.take(), [Connect(2, B)]);
}
