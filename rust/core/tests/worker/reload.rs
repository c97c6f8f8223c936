//! A new configuration: for requests that come, and not for those that are in hand.

use std::sync::Arc;

use penstock_core::generation::Generation;
use penstock_core::time::SECOND;
use serde_json::json;

use crate::config::{A, on, on_with};
use crate::fake::Effect::{Close, Connect, Done, HalfClose, Send, Write};
use crate::harness::Harness;
use crate::replies::stream;
use crate::support::build;

fn reload(h: &mut Harness, config: serde_json::Value) {
    let generation = Generation { number: 2, table: build(config) };
    h.worker.set_generation(Arc::new(generation), h.now.mono);
}

#[test]
fn a_request_keeps_the_times_that_it_began_with() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start(1);
    reload(&mut h, on_with(&["a"], 2, &[("timeouts/first_event", json!(3.0))]));
    assert_eq!(h.worker.generation().number, 2);
    h.start(2);
    assert_eq!(h.pass_until_effect(4 * SECOND), 3 * SECOND);
    assert_eq!(h.take(), [Write(2), Done(2, true), HalfClose(1)]);
    h.pass(SECOND);
    assert_eq!(h.take(), [Close(1)], "the grace of the abort is over");
    assert_eq!(h.pass_until_effect(7 * SECOND), 6 * SECOND, "ten in all");
    assert_eq!(h.take(), [Write(1), Done(1, true), HalfClose(0)]);
}

#[test]
fn idle_connections_and_permits_stay() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.submit(2);
    reload(&mut h, on(&["a"], 1));
    assert_eq!(h.counts(), [1, 1, 0]);
    h.bytes(0, &stream());
    assert_eq!(h.take(), [Write(1), Done(1, true), Send(0)]);
    h.bytes(0, &stream());
    h.submit(3);
    assert_eq!(h.take(), [Write(2), Done(2, true), Send(0)]);
    h.gone(3);
    h.submit(4);
    h.eof(0);
    assert_eq!(h.take().last(), Some(&Connect(1, A)));
    assert_eq!(h.counts(), [0, 1, 0]);
}
