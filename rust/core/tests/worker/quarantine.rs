//! A request under which model servers die is set aside.

use penstock_core::time::SECOND;

use crate::config::{A, B, body, on};
use crate::fake::Effect::{Close, Connect, Done, Write};
use crate::harness::Harness;
use crate::support::INSTANT;

fn poison() -> Vec<u8> {
    body(INSTANT, "poison", true)
}

/// Both backends have broken off under this body, and refuse connections since.
fn after_two_deaths(body: &[u8]) -> Harness {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.submit_body(1, body);
    h.connected(0);
    h.reset(0);
    h.connected(1);
    h.reset(1);
    assert_eq!(h.error(1), (502, "upstream_reset".to_owned()));
    h.take();
    // Somebody else, who waits: both backends have an outage.
    h.submit(2);
    assert_eq!(h.take(), []);
    h.pass_until_effect(SECOND);
    h.refused(2);
    h.refused(3);
    assert_eq!(h.take(), [Connect(2, A), Close(2), Connect(3, B), Close(3)]);
    h.log();
    h
}

#[test]
fn a_body_under_which_two_servers_have_died_is_refused() {
    let mut h = after_two_deaths(&poison());
    h.submit_body(3, &poison());
    assert_eq!(h.take(), [Write(3), Done(3, true)]);
    assert_eq!(h.request(3), None);
    assert_eq!(h.error(3), (502, "upstream_reset".to_owned()));
    assert_eq!(h.ended(), ("PF".to_owned(), 0));
    // Another's is not.
    h.submit(4);
    assert_eq!(h.counts(), [2, 0, 0]);
}

#[test]
fn after_a_minute_it_is_let_in_again() {
    let mut h = after_two_deaths(&poison());
    h.gone(2);
    h.pass(61 * SECOND);
    h.take();
    h.submit_body(3, &poison());
    assert!(h.request(3).is_some());
    assert!(matches!(h.take()[..], [Connect(..)]));
}

#[test]
fn servers_that_accept_connections_again_have_not_died() {
    let mut h = Harness::new(on(&["a", "b"], 2));
    h.submit_body(1, &poison());
    h.connected(0);
    h.reset(0);
    h.connected(1);
    h.reset(1);
    h.submit_body(2, &poison());
    assert!(h.request(2).is_some());
}
