//! Each request is counted once and logged once, whatever becomes of it.

use penstock_core::exchange::{AttemptResult, Outcome};
use penstock_core::metrics::{Gauge, Series, TierHistogram, Total};
use penstock_core::time::{MILLISECOND, SECOND};
use penstock_core::worker::TICK;
use serde_json::json;

use crate::config::{A, body, on, on_with};
use crate::harness::Harness;
use crate::replies::{STREAM, finish, response, stream, text, whole};
use crate::support::INSTANT;

/// How many requests were counted, by what became of them.
fn requests(h: &Harness) -> Vec<(Outcome, u64)> {
    let mut counts = Vec::new();
    for (series, count) in h.segment.registry.series() {
        if let Series::Requests { outcome, .. } = series {
            counts.push((outcome, count));
        }
    }
    counts
}

#[test]
fn an_answered_request() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start_whole(1);
    h.worker.note_overhead(h.request(1).expect("a request"), 7);
    h.pass(500 * MILLISECOND);
    h.bytes(0, &whole());
    assert_eq!(requests(&h), [(Outcome::Ok, 1)]);
    assert_eq!(h.attempts(A, AttemptResult::Ok), 1);
    assert_eq!(h.segment.registry.total(Total::PromptTokens), 20);
    assert_eq!(h.segment.registry.total(Total::OutputTokens), 10);
    for (times, count, sum) in [
        (TierHistogram::QueueWait, 1, 0),
        (TierHistogram::FirstToken, 1, 500 * MILLISECOND),
        (TierHistogram::Duration, 1, 500 * MILLISECOND),
        (TierHistogram::InterToken, 0, 0),
    ] {
        let histogram = h.segment.registry.histogram(0, times);
        assert_eq!((histogram.count(), histogram.sum()), (count, sum), "{times:?}");
    }
    let [line] = &h.log()[..] else { panic!("one line") };
    for (key, value) in [
        ("request_id", json!("req-1")),
        ("tier", json!("instant")),
        ("model", json!(INSTANT)),
        ("backend", json!("a")),
        ("outcome", json!("ok")),
        ("code", json!("")),
        ("term", json!("-D")),
        ("status", json!(200)),
        ("attempts", json!(1)),
        ("total_ms", json!(500.0)),
        ("prompt_tokens", json!(20)),
        ("output_tokens", json!(10)),
    ] {
        assert_eq!(line[key], value, "{key}");
    }
    let upstream = line["upstream_id"].as_str().expect("upstream_id");
    assert!(penstock_testing::naive::find(h.sockets.sent(0), upstream.as_bytes()).is_some());
}

#[test]
fn whoever_is_refused_is_counted_too() {
    let mut h = Harness::new(on_with(&["a"], 1, &[("queue/requests", json!(0))]));
    h.start(1);
    h.submit(2);
    h.submit_body(3, b"{");
    assert_eq!(h.log().len(), 2);
    let mut counts = requests(&h);
    counts.sort_by_key(|(outcome, _)| outcome.name());
    assert_eq!(counts, [(Outcome::ClientError, 1), (Outcome::Rejected, 1)]);
    let code = penstock_core::openai::Code::QueueFull;
    assert!(h.segment.registry.series().contains(&(Series::Shed { tier: Some(0), code }, 1)));
}

#[test]
fn what_comes_behind_the_answer_is_not_told_again() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &[STREAM, &text("hi"), &finish()].concat());
    assert_eq!(h.log().len(), 1);
    h.gone(1);
    h.reset(0);
    h.shut_down();
    assert_eq!((requests(&h), h.log().len()), (vec![(Outcome::Ok, 1)], 0));
    assert_eq!(h.attempts(A, AttemptResult::Ok), 1);
    assert_eq!(h.attempts(A, AttemptResult::Reset), 0);
}

#[test]
fn each_attempt_is_counted_and_each_request_once() {
    let mut h = Harness::new(on(&["a", "b"], 1));
    h.start(1);
    h.reset(0);
    h.connected(1);
    h.bytes(1, &stream());
    assert_eq!(requests(&h), [(Outcome::Ok, 1)]);
    assert_eq!(h.attempts(A, AttemptResult::Reset), 1);
    assert_eq!(h.ended(), ("-D".to_owned(), 2));
}

#[test]
fn penstock_s_own_time_is_told_with_the_first_piece_of_an_answer() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.worker.note_overhead(h.request(1).expect("a request"), 7);
    h.bytes(0, STREAM);
    assert_eq!(h.worker.answered.take(), None);
    h.bytes(0, &text("a"));
    assert_eq!(h.worker.answered.take(), Some((0, 7)));
    h.bytes(0, &text("b"));
    assert_eq!(h.worker.answered.take(), None);
}

#[test]
fn a_log_that_nobody_reads_stays_bounded() {
    let mut h = Harness::new(on(&["a"], 1));
    h.worker.log = vec![b' '; (4 << 20) + 1];
    h.submit_body(1, b"{");
    assert_eq!(h.worker.log.len(), (4 << 20) + 1);
    assert_eq!(h.segment.registry.total(Total::LogDropped), 1);
    assert_eq!(requests(&h), [(Outcome::ClientError, 1)], "it is counted all the same");
}

#[test]
fn idle_connections_are_shown() {
    let mut h = Harness::new(on(&["a"], 2));
    h.start_whole(1);
    h.start_whole(2);
    h.bytes(0, &whole());
    h.bytes(1, &whole());
    h.pass(TICK);
    assert_eq!(h.segment.registry.gauge(0, Gauge::IdleUpstreams), 2);
    h.pass(4 * SECOND);
    assert_eq!(h.segment.registry.gauge(0, Gauge::IdleUpstreams), 0);
}

#[test]
fn prompts_are_measured_by_what_backends_count() {
    let mut h = Harness::new(on(&["a"], 1));
    let before = h.segment.ratios.get(0).bytes_per_token();
    h.submit_body(1, &body(INSTANT, &"word ".repeat(200), false));
    h.connected(0);
    let answer = String::from_utf8(whole()).expect("text");
    // Of the same length, so the framing stays right.
    h.bytes(0, answer.replace("\"prompt_tokens\":20", "\"prompt_tokens\":99").as_bytes());
    let after = h.segment.ratios.get(0).bytes_per_token();
    assert!(after > before, "{before} to {after}");
}

#[test]
fn a_redirect_has_no_word_of_its_own() {
    let mut h = Harness::new(on(&["a"], 1));
    h.start(1);
    h.bytes(0, &response(302, "location: /\r\n", ""));
    assert_eq!(h.attempts(A, AttemptResult::Garbage), 1);
    assert_eq!(requests(&h), [(Outcome::UpstreamError, 1)]);
}
