//! When a client is read, and what becomes of one that does not read.

use penstock_core::client::{Answered, ClientConnection, Received, Step};

use crate::owner::{Answers, Owner, config, id, request};

/// Bytes ahead of the request in hand, beyond which a client is read no more.
const AHEAD: usize = 64 << 10;

#[test]
fn a_client_that_is_far_ahead_is_not_read() {
    let mut owner = Owner::new(Answers::Later);
    owner.receive(&request("", "first"));
    let next = request("", &"x".repeat(AHEAD / 2));
    let (early, late) = next.split_at(next.len() - 1);
    owner.receive(&next);
    owner.receive(early);
    assert!(owner.connection.received(b"", 0) == Received::StopReading);
    // Exactly so much may be ahead, and not a byte more.
    let mut exact = Owner::new(Answers::Later);
    exact.receive(&request("", "first"));
    exact.receive(&vec![b'P'; AHEAD]);
    assert!(exact.is_reading);
    exact.receive(b"P");
    assert!(!exact.is_reading);
    // It is read on only when all that has come is used.
    owner.receive(late);
    assert!(!owner.is_reading);
    owner.answer();
    assert_eq!((owner.served.len(), owner.is_reading), (2, false));
    owner.answer();
    assert_eq!((owner.served.len(), owner.is_reading), (3, false), "a request is in hand");
    owner.answer();
    assert_eq!((owner.served.len(), owner.is_reading), (3, true));
    assert!(matches!(owner.connection.step(&owner.config, b"", true), Step::Wait), "told once");
}

#[test]
fn it_is_read_on_to_finish_a_request_that_is_not_whole() {
    let mut owner = Owner::new(Answers::Later);
    owner.receive(&request("", "first"));
    let large = request("", &"x".repeat(2 * AHEAD));
    let (early, late) = large.split_at(AHEAD + 1);
    owner.receive(early);
    assert!(!owner.is_reading);
    owner.answer();
    assert_eq!((owner.served.len(), owner.is_reading), (1, true));
    owner.receive(late);
    assert_eq!((owner.served.len(), owner.is_reading), (2, true));
}

#[test]
fn nothing_is_handed_over_while_answers_wait_to_be_read() {
    let mut owner = Owner::new(Answers::AtOnce);
    owner.connection.write_flow(true, 0);
    assert!(owner.connection.is_held_back() && !owner.connection.may_hand_over());
    owner.receive(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(owner.handed_over, None);
    assert_eq!(owner.connection.write_flow(false, 0), None);
    owner.advance(b"");
    assert_eq!(owner.handed_over.as_deref(), Some(&b"GET / HTTP/1.1\r\n\r\n"[..]));
}

#[test]
fn a_client_that_does_not_read_is_not_served_more() {
    let mut owner = Owner::new(Answers::AtOnce);
    owner.connection.write_flow(true, 0);
    owner.receive(&request("", "1"));
    assert!(matches!(owner.connection.step(&owner.config, &request("", "2"), true), Step::Wait));
    assert_eq!(owner.served, [""; 0]);
    owner.connection.write_flow(false, 0);
    owner.advance(b"");
    assert_eq!(owner.served, ["1", "2"], "in the order in which they came");
}

#[test]
fn the_request_in_hand_hears_of_a_client_that_does_not_read() {
    let mut owner = Owner::new(Answers::Later);
    assert_eq!(owner.connection.write_flow(true, 0), None);
    assert_eq!(owner.connection.write_flow(false, 0), None);
    owner.receive(&request("", "1"));
    assert_eq!(owner.connection.write_flow(true, 0), Some(id(1)));
    assert_eq!(owner.connection.write_flow(false, 0), Some(id(1)));
    owner.answer();
    assert_eq!(owner.connection.write_flow(true, 0), None, "it is answered");
}

#[test]
fn one_that_stops_reading_while_its_request_is_submitted_is_told_of_after() {
    let (config, mut connection) = (config(), ClientConnection::new(0));
    let bytes = request("", "1");
    assert_eq!(connection.received(&bytes, 0), Received::Step);
    assert!(matches!(connection.step(&config, &bytes, true), Step::Serve(..)));
    assert_eq!(connection.write_flow(true, 0), None, "the request has no id yet");
    assert_eq!(connection.submitted(Some(id(7))), Some(id(7)));
    // As when it was answered at once: nobody is left to be told.
    let mut connection = ClientConnection::new(0);
    assert!(matches!(connection.step(&config, &bytes, true), Step::Serve(..)));
    connection.write_flow(true, 0);
    assert_eq!(connection.answered(true, 0), Answered::Submitter);
    assert_eq!(connection.submitted(Some(id(7))), None);
}
