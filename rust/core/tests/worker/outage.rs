//! A backend that requests do not get through to: they wait, one at a time tries, and the log tells of it.

use penstock_core::time::{MILLISECOND, Nanos, SECOND};
use penstock_core::worker::Outage;
use serde_json::json;

use crate::config::{A, on_with};
use crate::fake::Effect::{Close, Connect, Done, Send, Write};
use crate::harness::Harness;
use crate::replies::{stream, unavailable, whole};
use crate::support::START;

/// What the log was told since the last call: why an outage began, or for how long it lasted.
fn told(h: &mut Harness) -> Vec<Result<String, Nanos>> {
    let outages = std::mem::take(&mut h.worker.outages);
    let text = |outage| match outage {
        Outage::Began { backend: A, reason } => Ok(reason),
        Outage::Ended { backend: A, lasted } => Err(lasted),
        other => panic!("{other:?}"),
    };
    outages.into_iter().map(text).collect()
}

/// One backend, whose queue waits for so many seconds.
fn waiting(seconds: f64) -> Harness {
    Harness::new(on_with(&["a"], 3, &[("queue/wait", json!(seconds))]))
}

#[test]
fn refused_requests_wait_and_one_tries_at_a_time() {
    let mut h = waiting(30.0);
    for client in 1..=3 {
        h.submit(client);
    }
    assert_eq!(h.take(), [Connect(0, A), Connect(1, A), Connect(2, A)]);
    h.refused(0);
    assert_eq!((h.take(), h.counts()), (vec![Close(0)], [1, 2, 0]));
    let reason = "the model server cannot be reached: refused".to_owned();
    assert_eq!(told(&mut h), [Ok(reason)]);
    h.refused(1);
    h.refused(2);
    assert_eq!((h.take(), h.counts()), (vec![Close(1), Close(2)], [3, 0, 0]));
    assert_eq!(told(&mut h), [], "it is one outage");
    for (connection, pause) in [(3, 50), (4, 100), (5, 200)] {
        assert_eq!(h.pass_until_effect(SECOND), pause * MILLISECOND);
        assert_eq!((h.take(), h.counts()), (vec![Connect(connection, A)], [2, 1, 0]));
        h.pass(500 * MILLISECOND);
        assert_eq!(h.take(), [], "the others wait for the outcome");
        h.refused(connection);
        assert_eq!((h.take(), h.counts()), (vec![Close(connection)], [3, 0, 0]));
    }
    h.pass_until_effect(SECOND);
    assert_eq!(h.take(), [Connect(6, A)]);
    h.connected(6);
    assert_eq!(h.take(), [Send(6), Connect(7, A), Connect(8, A)]);
    assert_eq!(h.counts(), [0, 3, 0]);
    // Pauses of 50, 100, 200 and 400 ms, and three trials of half a second.
    assert_eq!(told(&mut h), [Err(2250 * MILLISECOND)]);
    h.bytes(6, &stream());
    assert_eq!(h.take(), [Write(1), Done(1, true)], "the first that came tried");
    assert_eq!(h.ended(), ("-D".to_owned(), 1));
}

#[test]
fn who_comes_meanwhile_waits_too() {
    let mut h = waiting(30.0);
    h.submit(1);
    h.refused(0);
    h.take();
    h.submit(2);
    assert_eq!((h.take(), h.counts()), (vec![], [2, 0, 0]));
}

#[test]
fn waiting_for_a_backend_ends_with_the_queue_s_own_deadline() {
    let mut h = waiting(2.0);
    h.submit(1);
    for connection in 0..6 {
        h.refused(connection);
        assert_eq!(h.take().len(), 2, "connect and close");
        h.pass_until_effect(2 * SECOND);
    }
    // The trials take no time here, and pauses of 1,550 ms have passed.
    assert_eq!(h.take(), [Write(1), Done(1, true)]);
    assert_eq!(h.now.mono, START.mono + 2 * SECOND);
    assert_eq!((h.error(1), h.counts()), ((503, "no_backend".to_owned()), [0, 0, 0]));
    assert_eq!(h.ended(), ("GQ".to_owned(), 0));
}

/// A backend that breaks every request off, and one request that has noticed.
fn breaking() -> Harness {
    let mut h = waiting(30.0);
    h.start(1);
    h.reset(0);
    assert_eq!(h.take(), [Write(1), Done(1, true), Close(0)]);
    assert_eq!(told(&mut h), [Ok("the model server broke the connection off".to_owned())]);
    h
}

#[test]
fn who_is_broken_off_while_trying_tries_six_times_more() {
    let mut h = breaking();
    h.log();
    h.submit(2);
    let mut pauses = Vec::new();
    for connection in 1..=7 {
        pauses.push(h.pass_until_effect(3 * SECOND) / MILLISECOND);
        assert_eq!(h.take(), [Connect(connection, A)]);
        h.connected(connection);
        assert_eq!(h.take(), [Send(connection)]);
        assert_eq!(told(&mut h), [], "that it takes connections proves nothing");
        h.reset(connection);
        if connection < 7 {
            assert_eq!((h.take(), h.counts()), (vec![Close(connection)], [1, 0, 0]));
        }
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000]);
    assert_eq!(h.take(), [Write(2), Done(2, true), Close(7)]);
    assert_eq!((h.error(2), h.counts()), ((502, "upstream_reset".to_owned()), [0, 0, 0]));
    assert_eq!(h.ended(), ("BF".to_owned(), 1));
}

#[test]
fn a_trial_that_survives_ends_the_outage() {
    let mut h = breaking();
    h.submit(2);
    h.submit(3);
    h.pass_until_effect(SECOND);
    h.connected(1);
    assert_eq!(h.take(), [Connect(1, A), Send(1)]);
    let lived = h.pass_until_effect(2 * SECOND);
    assert!((SECOND..SECOND + 20 * MILLISECOND).contains(&lived), "{lived}");
    assert_eq!((h.take(), h.counts()), (vec![Connect(2, A)], [0, 2, 0]));
    assert_eq!(told(&mut h), [Err(lived + 50 * MILLISECOND)]);
}

#[test]
fn a_worker_that_stood_still_has_seen_nobody_survive() {
    let mut h = breaking();
    h.submit(2);
    h.pass_until_effect(SECOND);
    h.connected(1);
    h.pass(10 * MILLISECOND);
    h.take();
    h.now.mono += 3 * SECOND;
    h.pass(10 * MILLISECOND);
    assert_eq!(told(&mut h), [], "what came in these seconds is not read yet");
    h.reset(1);
    assert_eq!((h.take(), h.counts()), (vec![Close(1)], [1, 0, 0]));
}

#[test]
fn an_answer_ends_the_outage() {
    let mut h = breaking();
    h.submit(2);
    h.submit(3);
    h.pass_until_effect(SECOND);
    h.connected(1);
    h.take();
    h.bytes(1, b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n");
    assert_eq!(told(&mut h), [], "not a whole head");
    h.bytes(1, b"transfer-encoding: chunked\r\n\r\n");
    assert_eq!(told(&mut h), [Err(50 * MILLISECOND)]);
    assert_eq!((h.take(), h.counts()), (vec![Connect(2, A)], [0, 2, 0]));
}

#[test]
fn a_trial_takes_no_idle_connection() {
    let mut h = waiting(30.0);
    h.start_whole(1);
    h.start(2);
    h.bytes(0, &whole());
    h.reset(1);
    h.take();
    h.submit(3);
    h.pass_until_effect(SECOND);
    assert_eq!(h.take(), [Connect(2, A)], "connection 0 is idle");
}

#[test]
fn a_proxy_s_word_begins_an_outage_when_it_says_it_three_times() {
    let mut h = waiting(30.0);
    h.start(1);
    h.bytes(0, &stream());
    let turned_away = |h: &mut Harness, client| {
        h.pass(10 * MILLISECOND);
        h.submit(client);
        h.bytes(0, &unavailable());
        assert_eq!(h.error(client), (502, "upstream_error".to_owned()));
    };
    turned_away(&mut h, 2);
    turned_away(&mut h, 3);
    h.pass(10 * MILLISECOND);
    h.submit(4);
    h.bytes(0, &stream());
    assert_eq!(h.answer(4).error(), None, "the two were no outage");
    turned_away(&mut h, 5);
    turned_away(&mut h, 6);
    assert_eq!(told(&mut h), []);
    turned_away(&mut h, 7);
    assert_eq!(told(&mut h), [Ok("answers 503: Service Unavailable".to_owned())]);
    h.take();
    h.submit(8);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 0]));
    h.pass_until_effect(SECOND);
    h.connected(1);
    assert_eq!(h.take(), [Connect(1, A), Send(1)]);
    h.bytes(1, &unavailable());
    assert_eq!((h.take(), h.counts()), (vec![], [1, 0, 0]), "it waits again");
    assert_eq!(told(&mut h), []);
}
