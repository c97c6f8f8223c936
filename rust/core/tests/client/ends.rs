//! A client leaves, or takes too long.

use penstock_core::client::{Answered, Left, Overdue};
use penstock_core::time::SECOND;

use crate::owner::{Answers, Owner, id, request};

#[test]
fn who_leaves_leaves_the_request_in_hand() {
    let mut owner = Owner::new(Answers::Later);
    owner.receive(&request("", "1"));
    assert_eq!(owner.connection.leave(0), Left { request: Some(id(1)), unread: None });
    assert_eq!(owner.connection.leave(0), Left::default(), "once");
    assert_eq!(owner.connection.answered(true, 0), Answered::Nothing, "nobody is there");
    assert_eq!(owner.connection.submitted(Some(id(1))), None);
}

#[test]
fn who_leaves_in_the_middle_of_a_body_is_counted_with_its_id() {
    for (headers, id) in [("x-request-id: mine\r\n", Some("mine".to_owned())), ("", None)] {
        let bytes = request(headers, "{}");
        let head = bytes.len() - 2;
        for cut in 0..bytes.len() {
            let mut owner = Owner::new(Answers::Later);
            owner.now = 3 * SECOND;
            owner.receive(&bytes[..cut]);
            let left = owner.connection.leave(5 * SECOND);
            let unread = (cut >= head).then(|| (id.clone(), 2 * SECOND));
            assert_eq!(left, Left { request: None, unread }, "cut at {cut}");
        }
    }
}

#[test]
fn a_request_that_takes_too_long_to_come_is_overdue() {
    let mut owner = Owner::new(Answers::Later);
    owner.now = 10 * SECOND;
    let bytes = request("", "{}");
    owner.receive(&bytes[..5]);
    // Its time runs from its first byte.
    owner.now += SECOND / 2;
    owner.receive(&bytes[5..bytes.len() - 1]);
    assert_eq!(owner.connection.overdue(11 * SECOND), Overdue::Nothing);
    assert_eq!(owner.connection.overdue(11 * SECOND + 1), Overdue::Request);
    owner.receive(&bytes[bytes.len() - 1..]);
    assert_eq!(
        owner.connection.overdue(1000 * SECOND),
        Overdue::Nothing,
        "it is the gateway's turn"
    );
}

#[test]
fn a_connection_without_a_request_is_overdue_after_a_while() {
    let mut owner = Owner::new(Answers::Later);
    assert_eq!(owner.connection.overdue(75 * SECOND), Overdue::Nothing);
    assert_eq!(owner.connection.overdue(75 * SECOND + 1), Overdue::Idle);
    owner.receive(&request("", "1"));
    owner.now = 100 * SECOND;
    owner.answer();
    assert_eq!(owner.connection.overdue(175 * SECOND), Overdue::Nothing);
    assert_eq!(owner.connection.overdue(175 * SECOND + 1), Overdue::Idle);
}

#[test]
fn what_waited_for_the_client_has_its_whole_time_after() {
    let mut owner = Owner::new(Answers::Later);
    owner.connection.write_flow(true, 0);
    owner.receive(&request("", "{}")[..5]);
    assert_eq!(owner.connection.overdue(100 * SECOND), Overdue::Nothing);
    owner.connection.write_flow(false, 100 * SECOND);
    assert_eq!(owner.connection.overdue(101 * SECOND), Overdue::Nothing);
    assert_eq!(owner.connection.overdue(101 * SECOND + 1), Overdue::Request);
}
