//! Time-outs, the order of events at the end, and records.

use penstock_core::exchange::UpstreamEnd;
use penstock_core::time::{MILLISECOND, SECOND};

use crate::support::client::Answer;
use crate::support::drive::{Run, client};
use crate::support::{START, at};
use crate::wire::{HEAD, done, finish, plan, table, text};

fn letters(run: Run<'_>) -> (String, Option<u64>) {
    let record = run.finish().record.expect("a record");
    let letters = String::from_utf8(record.term.letters().to_vec()).expect("letters");
    (letters, record.first)
}

#[test]
fn the_first_event_has_its_time() {
    let table = table();
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(1.0)).time(at(9.9));
    assert!(run.ran.wire.is_empty());
    run.time(at(10.0));
    let error = Answer::read(&run.ran.wire).error().expect("an error");
    assert_eq!((error.status, &*error.code), (504, "upstream_timeout"));
    assert_eq!(run.ran.upstream, Some(UpstreamEnd::Abort));
    assert_eq!(letters(run), ("GF".to_owned(), None));
}

#[test]
fn the_events_behind_it_have_theirs() {
    let table = table();
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(1.0)).feed(&text("a"), at(9.0)).feed(&text("b"), at(23.0));
    run.time(at(37.9));
    assert!(run.ran.wire.is_empty());
    run.time(at(38.0));
    let error = Answer::read(&run.ran.wire).error().expect("an error");
    assert_eq!((error.status, &*error.code), (504, "upstream_stalled"));
    assert_eq!(run.ran.upstream, Some(UpstreamEnd::Abort));
    assert_eq!(letters(run), ("GS".to_owned(), Some(9 * SECOND)));
}

#[test]
fn the_total_time_bounds_it() {
    let table = table();
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(1.0));
    for second in (2..120).step_by(10) {
        run.feed(&text("a"), at(f64::from(second)));
    }
    run.time(at(120.0));
    let error = Answer::read(&run.ran.wire).error().expect("an error");
    assert_eq!((error.status, &*error.code), (504, "deadline_exceeded"));
    let failure = run.ran.failure.clone().expect("a failure");
    assert!(!run.exchange.is_silence(&table, &failure, at(120.0)), "the backend has spoken");
}

#[test]
fn first_event_and_gaps_are_recorded() {
    let table = table();
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(0.5)).feed(&text(""), at(1.0));
    assert!(!run.exchange.has_first(), "nothing was said");
    run.feed(&text("a"), at(2.0));
    assert!(run.exchange.has_first());
    assert!(!run.exchange.has_begun(), "the client has nothing");
    assert_eq!(run.exchange.pace().pieces, 1);
    run.feed(&text("b"), at(2.5)).feed(&text("c"), at(2.75)).feed(&finish("stop"), at(3.0));
    assert!(run.ran.wire.is_empty());
    run.feed(&done(), at(3.5));
    let answer = Answer::read(&run.ran.wire);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "abc");
    let timing = answer.get("server-timing").expect("times").to_owned();
    assert!(
        timing.ends_with("first;dur=2000.000") || timing.ends_with("first;dur=2000"),
        "{timing}"
    );
    let record = run.finish().record.expect("a record");
    assert_eq!(record.first, Some(2 * SECOND));
    assert_eq!(record.total, 3 * SECOND + 500 * MILLISECOND);
    assert_eq!(record.gaps.count(), 3);
    assert_eq!(record.term.letters(), *b"-D");
}

/// The client gets its answer at `[DONE]`; the backend has one more second to end its message.
#[test]
fn the_connection_may_linger_behind_done() {
    let table = table();
    for (end, upstream) in [
        (Some(b"0\r\n\r\n".as_slice()), UpstreamEnd::Reuse),
        (Some(b"zz\r\n".as_slice()), UpstreamEnd::Close),
        (None, UpstreamEnd::Close),
    ] {
        let mut run = Run::new(&table, plan(&table, 1), client());
        let parts = [HEAD.as_bytes(), &text("a"), &finish("stop"), &done()].concat();
        run.feed(&parts, START);
        assert!(run.ran.finished);
        assert_eq!(Answer::read(&run.ran.wire).status, 200);
        assert_eq!(run.ran.upstream, None);
        match end {
            Some(end) => run.feed(end, at(0.5)),
            None => run.time(at(1.0)),
        };
        assert_eq!(run.ran.upstream, Some(upstream));
        assert_eq!(run.ran.result, Some("ok"));
    }
}

#[test]
fn a_client_that_leaves_is_recorded_where_it_left() {
    let table = table();
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(0.5));
    run.exchange.client_gone(at(1.0));
    assert_eq!(letters(run), ("CF".to_owned(), None));
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(0.5)).feed(&text("a"), at(1.0));
    run.exchange.client_gone(at(2.0));
    let record = run.finish().record.expect("a record");
    assert_eq!((record.status, record.term.letters()), (499, *b"CS"));
    // After a return to the queue, nothing of the attempt is measured.
    let mut run = Run::new(&table, plan(&table, 1), client());
    run.feed(HEAD.as_bytes(), at(0.5)).feed(&text("a"), at(1.0)).feed(&text("b"), at(1.5));
    run.exchange.requeued();
    run.exchange.client_gone(at(2.0));
    let record = run.finish().record.expect("a record");
    assert_eq!((record.term.letters(), record.first), (*b"CQ", None));
    assert_eq!(record.gaps.count(), 0);
}
