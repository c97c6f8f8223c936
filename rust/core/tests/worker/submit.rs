//! A request is read whole: refused, queued or begun.

use penstock_admission::Health;
use penstock_core::routing::TierIndex;
use penstock_core::time::SECOND;
use penstock_testing::naive;
use serde_json::json;

use crate::config::{A, body, on, on_with};
use crate::fake::Effect::{Connect, Done, Send, Write};
use crate::harness::Harness;
use crate::replies::whole;
use crate::support::{INSTANT, THINKING};

#[test]
fn a_granted_request_goes_to_its_backend_and_back() {
    let mut h = Harness::new(on(&["a"], 2));
    h.submit(1);
    assert_eq!(h.take(), [Connect(0, A)]);
    assert_eq!(h.counts(), [0, 1, 0]);
    h.connected(0);
    assert_eq!(h.take(), [Send(0)]);
    let sent = h.sockets.sent(0);
    assert!(sent.starts_with(b"POST /v1/chat/completions HTTP/1.1\r\n"));
    assert!(naive::find(sent, b"{\"model\":\"served\",").is_some());
    h.bytes(0, &whole());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!(h.counts(), [0, 0, 0]);
    assert_eq!((h.answer(1).error(), h.worker.active()), (None, 0));
}

#[test]
fn a_queued_request_begins_when_a_permit_comes_back() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start_whole(1);
    h.submit(2);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 1, 0]));
    h.pass(SECOND);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 1, 0]));
    h.bytes(0, &whole());
    // The first one's answer is out before the second begins, on the same connection.
    assert_eq!(h.take(), [Write(1), Done(1, true), Send(0)]);
    assert_eq!(h.counts(), [0, 1, 0]);
}

#[test]
fn a_permit_that_another_worker_gives_back_is_taken_when_woken() {
    let mut first = Harness::new(on(&["a"], 1));
    let mut second = first.neighbour();
    second.start_whole(7);
    first.submit(1);
    assert_eq!((first.take(), first.counts()), (vec![], [1, 1, 0]));
    second.bytes(0, &whole());
    assert_eq!(second.take(), [Write(7), Done(7, true)]);
    assert_eq!(first.take(), [], "nobody has told it yet");
    first.woken();
    assert_eq!((first.take(), first.counts()), (vec![Connect(0, A)], [0, 1, 0]));
    first.woken();
    assert_eq!(first.take(), [], "told twice");
}

#[test]
fn a_full_queue_refuses() {
    let mut h = Harness::new(on_with(&["a"], 1, &[("queue/requests", json!(1))]));
    h.start(1);
    h.submit(2);
    h.submit(3);
    assert_eq!(h.take(), [Write(3), Done(3, true)]);
    assert_eq!(h.counts(), [1, 1, 0]);
    assert_eq!(h.worker.active(), 2, "the refused one is forgotten");
    assert_eq!(h.error(3), (429, "queue_full".to_owned()));
    assert!(h.answer(3).get("retry-after-ms").is_some());
    assert_eq!(h.ended(), ("PQ".to_owned(), 0));
}

#[test]
fn a_request_that_can_never_fit_is_the_clients_fault() {
    let mut h = Harness::new(on(&["a"], 2));
    let body = json!({"model": INSTANT, "n": 3, "messages": [{"role": "user", "content": "x"}]});
    h.submit_body(1, body.to_string().as_bytes());
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!(h.counts(), [0, 0, 0]);
    let error = h.answer(1).error().expect("an error");
    assert_eq!((error.status, error.param.as_deref()), (400, Some("n")));
    assert_eq!(h.answer(1).get("retry-after"), None);
    assert_eq!(h.ended(), ("CR".to_owned(), 0));
}

#[test]
fn without_a_usable_backend_a_new_request_is_refused_at_once() {
    let mut h = Harness::new(on(&["a"], 2));
    h.segment.admission.set_health(A, Health::Down, h.now.mono);
    h.submit(1);
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!(h.error(1), (503, "no_backend".to_owned()));
    assert_eq!(h.answer(1).get("x-should-retry"), None);
    assert_eq!(h.ended(), ("PQ".to_owned(), 0));
}

#[test]
fn what_cannot_be_planned_never_reaches_admission() {
    let unknown = body("no-such-model", "x", true);
    let twice = format!("{{\"model\":\"{INSTANT}\",\"messages\":[],\"messages\":[]}}");
    for (body, status, code, model) in [
        (b"{".to_vec(), 400, "invalid_json", "unknown"),
        (unknown, 404, "model_not_found", "unknown"),
        (twice.into_bytes(), 400, "duplicate_key", INSTANT),
    ] {
        let mut h = Harness::new(on(&["a"], 2));
        h.submit_body(1, &body);
        assert_eq!(h.take(), [Write(1), Done(1, true)], "{code}");
        assert_eq!(h.request(1), None, "{code}");
        assert_eq!(h.error(1), (status, code.to_owned()));
        assert_eq!((h.segment.admission.invariants().arrived, h.worker.active()), (0, 0), "{code}");
        let [line] = &h.log()[..] else { panic!("one line") };
        assert_eq!((&line["term"], &line["model"]), (&json!("CR"), &json!(model)), "{code}");
    }
}

#[test]
fn a_draining_worker_takes_nothing_new() {
    let mut h = Harness::new(on(&["a"], 2));
    h.drain();
    h.submit(1);
    assert_eq!(h.take(), [Write(1), Done(1, false)]);
    assert_eq!(h.request(1), None);
    assert_eq!(h.error(1), (503, "draining".to_owned()));
    assert_eq!(h.answer(1).get("connection"), Some("close"));
    assert_eq!(h.ended(), ("PQ".to_owned(), 0));
}

#[test]
fn each_tier_has_its_own_queue() {
    let mut config = on_with(&["a"], 2, &[("concurrency", json!(1))]);
    config["tiers"][0]["queue"]["requests"] = json!(1);
    let mut h = Harness::new(config);
    h.start(1);
    h.submit(2);
    assert_eq!(h.take(), []);
    h.submit_body(3, &body(THINKING, "x", true));
    assert_eq!(h.take(), [Connect(1, A)]);
    let queued = |tier: TierIndex| h.segment.admission.tier(tier).queued;
    assert_eq!((queued(0), queued(1)), (1, 0));
}
