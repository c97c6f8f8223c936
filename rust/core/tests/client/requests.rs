//! Requests come out whole and one at a time, and what is not for the lane is handed over with every byte.

use penstock_core::client::{Answered, ClientConnection, Left, Overdue, Step};
use penstock_core::time::SECOND;

use crate::owner::{Answers, Owner, config, request};

#[test]
fn pipelined_requests_are_the_same_at_every_split() {
    let foreign = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    let requests = [request("", "{\"a\": 1}"), request("x-request-id: b\r\n", "{}")];
    let bytes = [&requests[0], &requests[1], &foreign[..], &requests[0]].concat();
    let left = [&foreign[..], &requests[0]].concat();
    for answers in [Answers::AtOnce, Answers::Later] {
        let check = |pieces: &mut dyn Iterator<Item = &[u8]>, what: &str| {
            let mut owner = Owner::new(answers);
            for piece in pieces {
                owner.receive(piece);
                if answers == Answers::Later {
                    owner.answer_all();
                }
            }
            assert_eq!(owner.served, ["{\"a\": 1}", "{}"], "{what} {answers:?}");
            assert_eq!(owner.handed_over.as_ref(), Some(&left), "{what} {answers:?}");
        };
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            check(&mut [first, second].into_iter(), &format!("cut at {cut}"));
        }
        check(&mut bytes.chunks(1), "byte by byte");
    }
}

#[test]
fn one_request_is_in_hand_at_a_time() {
    let mut owner = Owner::new(Answers::Later);
    let two = [request("", "1"), request("", "2")].concat();
    owner.receive(&two);
    assert_eq!(owner.served, ["1"]);
    assert!(owner.connection.is_busy() && !owner.connection.is_idle());
    owner.receive(&request("", "3"));
    assert_eq!(owner.served, ["1"], "what comes meanwhile is kept");
    owner.answer();
    assert_eq!(owner.served, ["1", "2"]);
    owner.answer_all();
    assert_eq!(owner.served, ["1", "2", "3"]);
    assert!(owner.connection.is_idle() && !owner.connection.is_busy());
}

#[test]
fn a_request_that_is_not_for_the_lane_is_handed_over_with_every_byte() {
    let unknown = request("x-priority: urgent\r\n", "{}");
    for foreign in [
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
        request("expect: 100-continue\r\n", "{}"),
        // aiohttp refuses it with the reason.
        unknown,
    ] {
        let bytes = [&foreign[..], b"and more"].concat();
        for cut in 0..=bytes.len() {
            let mut owner = Owner::new(Answers::AtOnce);
            owner.receive(&bytes[..cut]);
            owner.receive(&bytes[cut..]);
            assert_eq!(owner.handed_over.as_deref(), Some(&bytes[..]), "cut at {cut}");
            assert_eq!(owner.served, [""; 0]);
        }
    }
}

#[test]
fn an_answer_within_the_call_that_submits_leaves_nothing_in_hand() {
    let (config, mut connection) = (config(), ClientConnection::new(0));
    assert!(matches!(connection.step(&config, &request("", "1"), true), Step::Serve(..)));
    assert_eq!(connection.answered(true, 0), Answered::Submitter);
    assert_eq!(connection.submitted(None), None);
    assert!(connection.is_idle());
    assert_eq!(connection.leave(0), Left::default());
}

#[test]
fn a_connection_that_ends_behind_its_answer_takes_nothing_more() {
    let mut owner = Owner::new(Answers::Later);
    owner.receive(&request("", "1"));
    assert_eq!(owner.connection.answered(false, 0), Answered::Close);
    assert_eq!(owner.connection.answered(true, 0), Answered::Nothing, "told again");
    owner.receive(&request("", "2"));
    assert_eq!(owner.served, ["1"]);
    assert_eq!(owner.connection.overdue(1000 * SECOND), Overdue::Nothing);
    assert_eq!(owner.connection.leave(0), Left::default());
}
