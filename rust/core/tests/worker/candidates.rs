//! Which backends a request is offered for, and what admission hears of it.

use penstock_admission::Health;
use penstock_core::identity::RequestAttributes;
use penstock_core::time::MILLISECOND;
use penstock_core::worker::TICK;
use serde_json::json;

use crate::config::{A, B, body, on, on_with};
use crate::fake::Effect::{Connect, Done, Send, Write};
use crate::harness::Harness;
use crate::replies::{STREAM, stream, text};
use crate::support::INSTANT;

fn of_session(name: &str) -> RequestAttributes {
    let sessions = vec![("x-session".to_owned(), name.to_owned())];
    RequestAttributes { sessions, ..RequestAttributes::default() }
}

#[test]
fn a_session_stays_at_its_backend() {
    let mut h = Harness::new(on_with(&["a", "b"], 4, &[("affinity/header", json!("x-session"))]));
    let submit = |h: &mut Harness, client: u64, session: &str| {
        h.submit_as(client, &body(INSTANT, &format!("{client}"), true), of_session(session));
    };
    submit(&mut h, 1, "one");
    submit(&mut h, 2, "two");
    assert_eq!(h.take(), [Connect(0, A), Connect(1, B)]);
    for connection in [0, 1] {
        h.connected(connection);
        h.bytes(connection, &stream());
    }
    h.take();
    // Both are idle. By turns the next would go to the first, and the one behind it to the second.
    submit(&mut h, 3, "two");
    h.bytes(1, &stream());
    assert_eq!(h.take(), [Send(1), Write(3), Done(3, true)]);
    submit(&mut h, 4, "two");
    assert_eq!(h.take(), [Send(1)]);
}

#[test]
fn the_same_beginning_goes_where_it_was_read() {
    let mut h = Harness::new(on(&["a", "b"], 4));
    let long = "a long document ".repeat(500);
    h.submit(1);
    assert_eq!(h.take(), [Connect(0, A)]);
    h.submit_body(2, &body(INSTANT, &long, true));
    assert_eq!(h.take(), [Connect(1, B)]);
    h.submit(3);
    assert_eq!(h.take(), [Connect(2, A)]);
    h.submit_body(4, &body(INSTANT, &format!("{long} and a question"), true));
    assert_eq!(h.take(), [Connect(3, B)]);
}

#[test]
fn a_backend_that_is_down_is_passed_over() {
    let mut h = Harness::new(on(&["a", "b"], 4));
    h.segment.admission.set_health(A, Health::Down, h.now.mono);
    h.submit(1);
    assert_eq!(h.take(), [Connect(0, B)]);
}

#[test]
fn who_waits_for_eight_that_are_gone_is_offered_the_ninth() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut h = Harness::new(on(&names, 1));
    for client in 0..9 {
        h.start(client);
    }
    h.submit(9);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 9, 0]));
    // Which eight the request knows is not said; it is the ninth that is left.
    let ninth = 8;
    for backend in 0..ninth {
        h.segment.admission.set_health(backend, Health::Down, h.now.mono);
    }
    h.pass(TICK);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 9, 0]), "it waits for the ninth now");
    h.bytes(usize::from(ninth), &stream());
    let effects = h.take();
    assert_eq!(effects.last(), Some(&Send(usize::from(ninth))));
    assert_eq!(h.counts(), [0, 9, 0]);
}

#[test]
fn an_answer_that_grows_takes_more_memory_of_its_backend() {
    let mut h = Harness::new(on(&["a"], 1));
    let limited = json!({"model": INSTANT, "stream": true, "max_tokens": 4,
                         "messages": [{"role": "user", "content": "x"}]});
    h.submit_body(1, limited.to_string().as_bytes());
    h.connected(0);
    let used = |h: &Harness| h.segment.admission.backend(A).cap.used.kv;
    let before = used(&h);
    h.bytes(0, STREAM);
    for _ in 0..5 {
        h.pass(5 * MILLISECOND);
        h.bytes(0, &text("word"));
    }
    h.pass(TICK);
    assert_eq!(used(&h), before + 64, "the fifth piece is beyond what was reserved");
}
