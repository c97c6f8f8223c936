//! The exchange in edge cases: failures, time-outs, buffered events, records.

mod support;

use penstock_admission::Fault;
use penstock_core::access_log;
use penstock_core::endpoint::Chat;
use penstock_core::exchange::{
    Client, Exchange, Failure, Next, Output, Retry, Term, UpstreamEnd, Where, Who,
};
use penstock_core::openai::{ApiError, Code};
use penstock_core::routing::{Plan, Table};
use penstock_core::time::{Nanos, SECOND};
use serde_json::{Value, json};

use support::client::Answer;
use support::drive::{Ending, Ran, Run, client, sent};
use support::{INSTANT, START, at, build, config, naive, shape, show, table};

fn body(stream: bool, more: &Value) -> Vec<u8> {
    let mut body = json!({"model": INSTANT, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    let members = body.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    body.to_string().into_bytes()
}

fn plan(table: &Table, stream: bool) -> Plan {
    Plan::make(table, &Chat, &body(stream, &json!({}))).expect("a good request")
}

/// A response with a body of known length.
fn response(status: u16, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One HTTP chunk.
fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn event(value: &Value) -> Vec<u8> {
    chunk(&format!("data: {value}\n\n"))
}

fn delta(delta: &Value) -> Vec<u8> {
    event(
        &json!({"id": "theirs", "object": "chat.completion.chunk", "created": 1, "model": "served",
                  "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}),
    )
}

fn finish(reason: &str) -> Vec<u8> {
    event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn done() -> Vec<u8> {
    chunk("data: [DONE]\n\n")
}

fn stream(parts: &[Vec<u8>]) -> Vec<u8> {
    [STREAM.as_bytes(), &parts.concat()].concat()
}

fn text(content: &str) -> Vec<u8> {
    delta(&json!({"role": "assistant", "content": content}))
}

fn letters(term: Term) -> String {
    String::from_utf8(term.letters().to_vec()).expect("letters")
}

struct Row {
    name: &'static str,
    stream: bool,
    wire: Vec<u8>,
    ending: Ending,
    status: u16,
    code: &'static str,
    retry: Retry,
    upstream: UpstreamEnd,
    outcome: &'static str,
    result: &'static str,
}

fn rows() -> Vec<Row> {
    use Ending::{Eof, Lost, Open};
    use UpstreamEnd::{Abort, Close, Reuse};
    const JSON: &str = "application/json";
    let row = |name, wire: Vec<u8>, ending, status, code, retry, upstream, result| {
        let outcome = match status {
            429 | 503 => "rejected",
            400..500 => "client_error",
            _ => "upstream_error",
        };
        Row { name, stream: true, wire, ending, status, code, retry, upstream, outcome, result }
    };
    let error = |message: &str| json!({"error": {"message": message}}).to_string();
    let mut rows = vec![
        row(
            "closed before a byte",
            vec![],
            Eof,
            502,
            "upstream_reset",
            Retry::Budgeted,
            Close,
            "reset",
        ),
        row(
            "reset before a byte",
            vec![],
            Lost,
            502,
            "upstream_reset",
            Retry::Budgeted,
            Close,
            "reset",
        ),
        row(
            "closed in the head",
            b"HTTP/1.1 20".to_vec(),
            Eof,
            502,
            "upstream_reset",
            Retry::Budgeted,
            Close,
            "reset",
        ),
        row(
            "reset in the body",
            stream(&[]),
            Lost,
            502,
            "upstream_reset",
            Retry::Budgeted,
            Close,
            "reset",
        ),
        row(
            "closed in the body",
            stream(&[]),
            Eof,
            502,
            "upstream_truncated",
            Retry::Budgeted,
            Close,
            "truncated",
        ),
        row(
            "role, then closed",
            stream(&[text("")]),
            Eof,
            502,
            "upstream_truncated",
            Retry::Budgeted,
            Close,
            "truncated",
        ),
        row(
            "an empty stream",
            stream(&[chunk("\n"), b"0\r\n\r\n".to_vec()]),
            Open,
            502,
            "upstream_truncated",
            Retry::Budgeted,
            Close,
            "truncated",
        ),
        row(
            "a bare [DONE]",
            stream(&[done()]),
            Open,
            502,
            "upstream_truncated",
            Retry::Budgeted,
            Abort,
            "truncated",
        ),
        row(
            "another protocol",
            b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Abort,
            "garbage",
        ),
        row(
            "two lengths",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Abort,
            "garbage",
        ),
        row(
            "broken chunks",
            stream(&[b"zz\r\n".to_vec()]),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Abort,
            "garbage",
        ),
        row(
            "an event that is no JSON",
            stream(&[chunk("data: hello\n\n")]),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Abort,
            "garbage",
        ),
        row(
            "an event that is no UTF-8",
            stream(&[b"a\r\ndata: \"\xff\"\n\r\n".to_vec(), chunk("\n")]),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Abort,
            "garbage",
        ),
        row(
            "choices that are no array",
            stream(&[event(&json!({"choices": 1}))]),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Abort,
            "garbage",
        ),
        row(
            "an error event first",
            stream(&[chunk(&format!("data: {}\n\n", error("boom")))]),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Abort,
            "http_5xx",
        ),
        row(
            "an error event with a status",
            stream(&[event(&json!({"error": {"message": "no", "code": 400}}))]),
            Open,
            400,
            "invalid_value",
            Retry::Never,
            Abort,
            "http_4xx",
        ),
        row(
            "an error event that overflows",
            stream(&[event(
                &json!({"error": {"message": "This model's maximum context length is 8 tokens", "code": 400}}),
            )]),
            Open,
            400,
            "context_length_exceeded",
            Retry::Never,
            Abort,
            "http_4xx",
        ),
        row(
            "an error string first",
            stream(&[event(&json!({"error": "boom"}))]),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Abort,
            "http_5xx",
        ),
        row(
            "400",
            response(400, JSON, &error("bad")),
            Open,
            400,
            "invalid_value",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "422 in words",
            response(422, "text/plain", "bad"),
            Open,
            400,
            "invalid_value",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "400 overflow",
            response(400, JSON, &error("the request exceeds the available context size")),
            Open,
            400,
            "context_length_exceeded",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "413",
            response(413, "text/plain", "large"),
            Open,
            413,
            "request_too_large",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "401",
            response(401, JSON, &error("key")),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "404",
            response(404, JSON, &error("model")),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "500",
            response(500, JSON, &error("oops")),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Reuse,
            "http_5xx",
        ),
        row(
            "502",
            response(502, "text/html", "<html>"),
            Open,
            502,
            "upstream_error",
            Retry::Budgeted,
            Reuse,
            "http_5xx",
        ),
        row(
            "503",
            response(503, JSON, &error("busy")),
            Open,
            502,
            "upstream_error",
            Retry::Budgeted,
            Reuse,
            "http_5xx",
        ),
        row(
            "503 loading",
            response(503, JSON, &error("Loading model")),
            Open,
            503,
            "no_backend",
            Retry::NotStarted,
            Reuse,
            "http_5xx",
        ),
        row(
            "503 full",
            response(503, JSON, &error("The request queue is full.")),
            Open,
            429,
            "upstream_overloaded",
            Retry::Pushback,
            Reuse,
            "bounced",
        ),
        row(
            "503 with the client's words",
            response(503, JSON, &error("cannot read 'the queue is full, overloaded, loading'")),
            Open,
            502,
            "upstream_error",
            Retry::Budgeted,
            Reuse,
            "http_5xx",
        ),
        row(
            "503 that says when",
            b"HTTP/1.1 503 X\r\nretry-after: 1\r\ncontent-length: 29\r\n\r\nthe engine is currently busy\n"
                .to_vec(),
            Open,
            429,
            "upstream_overloaded",
            Retry::Pushback,
            Reuse,
            "bounced",
        ),
        row(
            "400 with the client's words",
            response(400, JSON, &error("{'input': 'overloaded'}")),
            Open,
            400,
            "invalid_value",
            Retry::Never,
            Reuse,
            "http_4xx",
        ),
        row(
            "504",
            response(504, JSON, ""),
            Open,
            502,
            "upstream_error",
            Retry::Budgeted,
            Reuse,
            "http_5xx",
        ),
        row(
            "429",
            response(429, JSON, &error("slow down")),
            Open,
            429,
            "upstream_overloaded",
            Retry::Pushback,
            Reuse,
            "bounced",
        ),
        row(
            "an error status cut",
            b"HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\n{".to_vec(),
            Eof,
            502,
            "upstream_truncated",
            Retry::Budgeted,
            Close,
            "truncated",
        ),
        row(
            "302",
            b"HTTP/1.1 302 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_vec(),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Reuse,
            "garbage",
        ),
        row(
            "204",
            b"HTTP/1.1 204 X\r\n\r\n".to_vec(),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Reuse,
            "garbage",
        ),
        row(
            "JSON without choices",
            response(200, JSON, "{}"),
            Open,
            502,
            "upstream_garbage",
            Retry::Never,
            Reuse,
            "garbage",
        ),
        row(
            "JSON with an error",
            response(200, JSON, &error("boom")),
            Open,
            502,
            "upstream_error",
            Retry::Never,
            Reuse,
            "http_5xx",
        ),
        row(
            "bytes behind the end",
            [response(400, JSON, &error("bad")), b"x".to_vec()].concat(),
            Open,
            400,
            "invalid_value",
            Retry::Never,
            Close,
            "http_4xx",
        ),
    ];
    let whole = |name, body: &str, code, retry, result| Row {
        stream: false,
        ..row(name, response(200, JSON, body), Open, 502, code, retry, Reuse, result)
    };
    rows.extend([
        whole("whole: no JSON", "<html>", "upstream_garbage", Retry::Never, "garbage"),
        whole("whole: a list", "[]", "upstream_garbage", Retry::Never, "garbage"),
        whole(
            "whole: no message",
            r#"{"choices":[{"finish_reason":"stop"}]}"#,
            "upstream_garbage",
            Retry::Never,
            "garbage",
        ),
        whole(
            "whole: no finish_reason",
            r#"{"choices":[{"message":{"content":"x"}}]}"#,
            "upstream_truncated",
            Retry::Budgeted,
            "truncated",
        ),
        whole(
            "whole: an empty finish_reason",
            r#"{"choices":[{"message":{},"finish_reason":""}]}"#,
            "upstream_truncated",
            Retry::Budgeted,
            "truncated",
        ),
        whole(
            "whole: no choice",
            r#"{"choices":[]}"#,
            "upstream_truncated",
            Retry::Budgeted,
            "truncated",
        ),
        whole(
            "whole: an error",
            r#"{"error":{"message":"boom"}}"#,
            "upstream_error",
            Retry::Never,
            "http_5xx",
        ),
        whole("whole: events", "data: {}\n\n", "upstream_garbage", Retry::Never, "garbage"),
    ]);
    rows
}

#[test]
fn failures_before_the_answer_become_statuses() {
    let table = table();
    for row in rows() {
        let name = row.name;
        for bytewise in [false, true] {
            let mut run = Run::new(&table, plan(&table, row.stream), client());
            let size = if bytewise { 1 } else { row.wire.len().max(1) };
            for piece in row.wire.chunks(size) {
                run.feed(piece, START);
            }
            run.end(row.ending, START);
            let ran = run.finish();
            assert!(ran.finished, "{name}");
            let error =
                Answer::read(&ran.wire).error().unwrap_or_else(|| panic!("{name}: no error"));
            assert_eq!((error.status, error.code.as_str()), (row.status, row.code), "{name}");
            assert!(!error.in_stream, "{name}");
            let failure = ran.failure.expect("a failure");
            assert_eq!(failure.retry(), row.retry, "{name}");
            assert_eq!(failure.attempt_result().name(), row.result, "{name}");
            // Byte by byte, the extra byte arrives as a piece of its own after the end.
            if !(bytewise && name == "bytes behind the end") {
                assert_eq!(ran.upstream, Some(row.upstream), "{name}");
            }
            let record = ran.record.expect("a record");
            assert_eq!(letters(record.term), "BF", "{name}");
            assert_eq!((record.status, record.outcome.name()), (row.status, row.outcome), "{name}");
            assert_eq!(record.code.map(Code::name), Some(row.code), "{name}");
            assert_eq!(record.first, None, "{name}");
        }
    }
}

#[test]
fn failures_of_the_connection() {
    let table = table();
    let detail = || "refused".to_owned();
    for (failure, status, code, retry, term, result) in [
        (
            Failure::ConnectRefused { detail: detail() },
            502,
            "upstream_connect",
            Retry::NotStarted,
            "BC",
            "connect_failed",
        ),
        (
            Failure::Connect { detail: detail() },
            502,
            "upstream_connect",
            Retry::NotStarted,
            "BC",
            "connect_failed",
        ),
        (
            Failure::ConnectTimeout,
            502,
            "upstream_connect",
            Retry::NotStarted,
            "GC",
            "connect_failed",
        ),
        (
            Failure::Tls { detail: detail() },
            502,
            "upstream_tls",
            Retry::OtherBackend,
            "BC",
            "connect_failed",
        ),
        (Failure::Internal, 500, "internal_error", Retry::Never, "GF", "cancelled"),
    ] {
        let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
        exchange.granted(1, 7, at(0.5));
        let mut out = Output::default();
        exchange.give_up(&table, &failure, at(0.75), &mut out);
        let mut wire = Vec::new();
        out.assemble(|pieces| wire.extend(pieces.concat()));
        let answer = Answer::read(&wire);
        let error = answer.error().expect("an error");
        assert_eq!((error.status, error.code.as_str()), (status, code));
        assert_eq!(answer.get("x-penstock-tier"), Some("instant"));
        assert_eq!(answer.get("x-penstock-backend"), Some("b"));
        assert_eq!(answer.get("x-request-id"), Some("req-1"));
        assert_eq!((failure.retry(), failure.attempt_result().name()), (retry, result));
        let record = exchange.take_record().expect("a record");
        assert_eq!(letters(record.term), term);
        assert_eq!((record.attempts, record.status), (1, status));
        assert_eq!((record.queued, record.total), (Some(SECOND / 2), SECOND * 3 / 4));
        assert!(exchange.take_record().is_none(), "once");
    }
}

#[test]
fn a_reused_connection_that_dies_before_a_byte_is_retried_free() {
    let table = table();
    for (reused, wire, seconds, retry, fault) in [
        (true, &b""[..], 0.0, Retry::Stale, None),
        (true, b"", 2.9, Retry::Stale, None),
        // Later than the keep-alive time: the connection was not stale, so the backend had received the request.
        (true, b"", 3.0, Retry::Budgeted, Some(Fault::Died)),
        (false, b"", 0.0, Retry::Budgeted, Some(Fault::Died)),
        (true, b"HTTP/1.1", 0.0, Retry::Budgeted, None),
        (false, b"HTTP/1.1", 0.0, Retry::Budgeted, None),
    ] {
        let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
        exchange.granted(0, 1, START);
        let mut request = Vec::new();
        let tail =
            exchange.send(&table, "served", reused.then_some(START.mono), START, &mut request);
        request.extend_from_slice(tail);
        let mut out = Output::default();
        assert_eq!(exchange.upstream_bytes(&table, wire, START, &mut out), Next::Continue);
        let next = exchange.upstream_lost(&table, at(seconds), &mut out);
        let Next::Failed { failure, upstream } = next else { panic!("no failure") };
        assert_eq!((failure.retry(), failure.fault()), (retry, fault), "{reused} {seconds}");
        assert!(failure.breaks_off());
        assert_eq!(upstream, UpstreamEnd::Close);
        assert!(out.is_empty());

        // The next attempt has the same body and another id, and its answer is the answer.
        exchange.granted(1, 2, at(4.0));
        let mut again = Vec::new();
        let tail = exchange.send(&table, "other", None, at(4.0), &mut again);
        again.extend_from_slice(tail);
        let (first, second) =
            (naive::head(&request).map(|_| ()), naive::find(&again, b"req-1-00000002"));
        assert!(
            first.is_none() && second.is_some(),
            "requests are no responses, and ids are fresh"
        );
        assert!(again.starts_with(b"POST /under/v1/chat/completions HTTP/1.1\r\nhost: b\r\n"));
        assert!(naive::find(&again, br#"{"model":"other","#).is_some());
        let good = stream(&[text("x"), finish("stop"), done(), b"0\r\n\r\n".to_vec()]);
        let next = exchange.upstream_bytes(&table, &good, at(4.0), &mut out);
        assert!(
            matches!(next, Next::Ended(ended) if ended.upstream == UpstreamEnd::Reuse),
            "{next:?}"
        );
        let mut wire = Vec::new();
        out.assemble(|pieces| wire.extend(pieces.concat()));
        let answer = Answer::read(&wire);
        assert_eq!(answer.error(), None);
        assert_eq!(answer.get("x-penstock-backend"), Some("b"));
        let record = exchange.take_record().expect("a record");
        assert_eq!((record.attempts, record.upstream_id.as_deref()), (2, Some("req-1-00000002")));
    }
}

#[test]
fn what_a_failed_attempt_had_said_is_forgotten() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    // A buffered role, then the connection is reset.
    run.feed(&stream(&[text("")]), START);
    let mut out = Output::default();
    let next = run.exchange.upstream_lost(&table, START, &mut out);
    assert!(matches!(next, Next::Failed { .. }));
    run.exchange.granted(1, 2, START);
    run.exchange.send(&table, "served", None, START, &mut Vec::new());
    run.feed(&stream(&[text("hello"), finish("stop"), done()]), START);
    let answer = Answer::read(&run.finish().wire);
    assert_eq!(shape::stream(&answer, INSTANT, 1, false), Ok(()));
    assert_eq!(answer.content(0), "hello");
}

/// Name, wire, ending, code, what is done with the connection, termination state, result of the attempt.
type Late = (&'static str, Vec<u8>, Ending, &'static str, UpstreamEnd, &'static str, &'static str);

#[test]
fn failures_behind_the_first_event_are_events_without_done() {
    use Ending::{Eof, Lost, Open};
    use UpstreamEnd::{Abort, Close};
    let table = table();
    let cases: Vec<Late> = vec![
        ("cut", vec![], Eof, "upstream_truncated", Close, "BS", "truncated"),
        ("reset", vec![], Lost, "upstream_reset", Close, "BS", "reset"),
        (
            "ended early",
            b"0\r\n\r\n".to_vec(),
            Open,
            "upstream_truncated",
            Close,
            "BS",
            "truncated",
        ),
        ("a bare [DONE]", done(), Open, "upstream_truncated", Abort, "BS", "truncated"),
        (
            "an error event",
            event(&json!({"error": {"message": "CUDA"}})),
            Open,
            "upstream_error",
            Abort,
            "BS",
            "http_5xx",
        ),
        (
            "an error and [DONE]",
            [event(&json!({"error": {"message": "CUDA"}})), done()].concat(),
            Open,
            "upstream_error",
            Abort,
            "BS",
            "http_5xx",
        ),
        (
            "overloaded",
            event(&json!({"error": {"message": "x", "code": 429}})),
            Open,
            "upstream_overloaded",
            Abort,
            "BS",
            "bounced",
        ),
        ("garbage", chunk("data: {\n\n"), Open, "upstream_garbage", Abort, "BS", "garbage"),
        ("broken chunks", b"nope\r\n".to_vec(), Open, "upstream_garbage", Abort, "BS", "garbage"),
        (
            "an index out of all bounds",
            event(&json!({"choices": [{"index": 128, "delta": {"content": "x"}}]})),
            Open,
            "upstream_garbage",
            Abort,
            "BS",
            "garbage",
        ),
    ];
    for (name, wire, ending, code, upstream, term, result) in cases {
        for together in [false, true] {
            let mut run = Run::of(&table, &body(true, &json!({})));
            let begin = stream(&[text("some")]);
            if together {
                run.feed(&[begin, wire.clone()].concat(), START);
            } else {
                run.feed(&begin, START).feed(&wire, START);
            }
            run.end(ending, START);
            let ran = run.finish();
            let answer = Answer::read(&ran.wire);
            let error = answer.error().unwrap_or_else(|| panic!("{name}: a clean end"));
            assert!(error.in_stream, "{name}");
            assert_eq!(error.code, code, "{name}");
            assert_eq!(answer.content(0), "some", "{name}");
            assert_eq!(ran.upstream, Some(upstream), "{name}");
            assert_eq!(ran.failure, None, "{name}: no retry behind the first event");
            let record = ran.record.expect("a record");
            assert_eq!((letters(record.term).as_str(), record.status), (term, 200), "{name}");
            assert_eq!(record.code.map(Code::name), Some(code), "{name}");
            assert_eq!(ran.result, Some(result), "{name}");
        }
    }
}

#[test]
fn a_second_choice_that_does_not_finish_is_a_cut() {
    let table = table();
    let request = body(true, &json!({"n": 2}));
    let choice = |index: u32, content: &str, reason: Value| {
        event(
            &json!({"choices": [{"index": index, "delta": {"content": content}, "finish_reason": reason}]}),
        )
    };
    for (parts, code) in [
        (
            vec![choice(0, "a", json!("stop")), choice(1, "b", Value::Null), done()],
            Some("upstream_truncated"),
        ),
        (vec![choice(0, "a", json!("stop")), done()], Some("upstream_ignored_parameter")),
        (vec![choice(1, "b", json!("length")), choice(0, "a", json!("stop")), done()], None),
    ] {
        let mut run = Run::of(&table, &request);
        run.feed(&stream(&parts), START);
        let answer = Answer::read(&run.finish().wire);
        assert_eq!(answer.error().map(|error| error.code).as_deref(), code);
        if code.is_none() {
            assert_eq!(shape::stream(&answer, INSTANT, 2, false), Ok(()));
        }
    }
}

#[test]
fn limits_on_size() {
    let mut small = config();
    small["response_limit"] = json!(100);
    small["event_limit"] = json!(200);
    let table = build(small);
    let large =
        json!({"choices": [{"message": {"content": "x".repeat(100)}, "finish_reason": "stop"}]})
            .to_string();
    let mut run = Run::of(&table, &body(false, &json!({})));
    run.feed(&response(200, "application/json", &large), START);
    let ran = run.finish();
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.status, error.code.as_str()), (502, "upstream_too_large"));
    assert_eq!(ran.upstream, Some(UpstreamEnd::Abort));
    assert_eq!(letters(ran.record.expect("a record").term), "GF");

    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[text("x"), chunk(&format!("data: {}", "y".repeat(200)))]), START);
    let error = Answer::read(&run.finish().wire).error().expect("an error");
    assert_eq!((error.in_stream, error.code.as_str()), (true, "upstream_garbage"));

    // Events buffered before the first meaningful one are limited too.
    let mut run = Run::of(&table, &body(true, &json!({"n": 2})));
    let role =
        |index: u32| event(&json!({"choices": [{"index": index, "delta": {"role": "assistant"}}]}));
    run.feed(&stream(&[role(0), role(1), role(2)]), START);
    let error = Answer::read(&run.finish().wire).error().expect("an error");
    assert_eq!((error.status, error.code.as_str()), (502, "upstream_garbage"));
}

// Time.

fn deadline(run: &Run<'_>) -> Option<f64> {
    let nanos: Nanos = run.exchange.deadline(run.table)?;
    Some((nanos - START.mono) as f64 / SECOND as f64)
}

#[test]
fn the_timers_of_an_attempt() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    assert_eq!(deadline(&run), Some(10.0), "first event, from dispatch");
    run.feed(&stream(&[text("")]), at(4.0));
    assert_eq!(deadline(&run), Some(10.0), "a role alone is no event");
    run.feed(&chunk(": ping\n\n"), at(5.0));
    run.time(at(9.999));
    assert_eq!(deadline(&run), Some(10.0));
    run.feed(&text("a"), at(9.999));
    assert_eq!(deadline(&run), Some(24.999), "between events");
    run.feed(&text("b"), at(20.0));
    assert_eq!(deadline(&run), Some(35.0));
    run.feed(&chunk(": ping\n\ndata:\n\n"), at(21.0));
    assert_eq!(deadline(&run), Some(35.0), "the backend lives, but no event has come");
    run.time(at(34.999));
    assert!(!run.ran.finished);
    run.time(at(35.0));
    let ran = run.finish();
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.in_stream, error.code.as_str()), (true, "upstream_stalled"));
    assert_eq!(ran.upstream, Some(UpstreamEnd::Abort));
    let record = ran.record.expect("a record");
    assert_eq!(letters(record.term), "GS");
    assert_eq!(record.first, Some(at(9.999).mono - START.mono));
    assert_eq!(record.total, 35 * SECOND);
}

#[test]
fn no_first_event_in_time() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[text("")]), at(4.0)).time(at(10.0));
    let ran = run.finish();
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.status, error.code.as_str()), (504, "upstream_timeout"));
    assert_eq!(ran.upstream, Some(UpstreamEnd::Abort));
    assert_eq!(ran.failure.expect("a failure").retry(), Retry::BudgetedIfInstant);
    assert_eq!(letters(ran.record.expect("a record").term), "GF");
}

#[test]
fn the_total_time_ends_everything() {
    let table = table();
    // A whole answer is limited only by the total.
    let mut run = Run::of(&table, &body(false, &json!({})));
    assert_eq!(deadline(&run), Some(120.0));
    run.time(at(119.9)).time(at(120.0));
    let ran = run.finish();
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.status, error.code.as_str()), (504, "deadline_exceeded"));
    assert_eq!(ran.failure.expect("a failure").retry(), Retry::Never);

    // A stream that never ends.
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[]), at(1.0));
    for second in 1..120 {
        run.feed(&text("x"), at(f64::from(second)));
    }
    assert_eq!(deadline(&run), Some(120.0));
    run.time(at(120.0));
    let ran = run.finish();
    let answer = Answer::read(&ran.wire);
    let error = answer.error().expect("an error");
    assert_eq!((error.in_stream, error.code.as_str()), (true, "deadline_exceeded"));
    assert_eq!(answer.content(0).len(), 119);
    assert_eq!(ran.upstream, Some(UpstreamEnd::Abort));
}

#[test]
fn a_total_time_that_was_spent_in_the_queue_is_no_silence_of_the_backend() {
    let table = table();
    for (granted, is_silence) in [(0.0, true), (59.0, true), (61.0, false), (119.0, false)] {
        let mut exchange = Exchange::new(plan(&table, false), client(), "id", START);
        exchange.granted(0, 1, at(granted));
        exchange.send(&table, "served", None, at(granted), &mut Vec::new());
        let Next::Failed { failure, .. } = exchange.time(&table, at(120.0), &mut Output::default())
        else {
            panic!("no failure")
        };
        assert_eq!(exchange.is_silence(&table, &failure, at(120.0)), is_silence, "{granted}");
    }
}

#[test]
fn connecting_has_its_own_time() {
    let table = table();
    let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
    assert_eq!(exchange.deadline(&table), Some(at(120.0).mono), "in the queue");
    exchange.granted(0, 1, at(1.5));
    assert_eq!(exchange.deadline(&table), Some(at(2.5).mono));
    let mut out = Output::default();
    assert_eq!(exchange.time(&table, at(2.4), &mut out), Next::Continue);
    let next = exchange.time(&table, at(2.5), &mut out);
    assert_eq!(
        next,
        Next::Failed { failure: Failure::ConnectTimeout, upstream: UpstreamEnd::Close }
    );
    assert_eq!(exchange.deadline(&table), None);
    // The next attempt has its own first-event time-out.
    exchange.granted(1, 2, at(2.5));
    assert_eq!(exchange.deadline(&table), Some(at(3.5).mono));
}

#[test]
fn a_client_that_does_not_read_is_not_the_backends_silence() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[text("a")]), at(1.0));
    run.exchange.pause();
    assert_eq!(deadline(&run), Some(120.0));
    run.time(at(60.0));
    run.exchange.resume(at(60.0));
    assert_eq!(deadline(&run), Some(75.0));
    run.feed(&[text("b"), finish("stop"), done()].concat(), at(61.0));
    assert_eq!(Answer::read(&run.finish().wire).error(), None);
}

// The end.

/// A step of a test.
type Step = Box<dyn Fn(&mut Run<'_>)>;

#[test]
fn a_connection_may_linger_a_second_behind_done() {
    let table = table();
    let begin = || {
        let mut run = Run::of(&table, &body(true, &json!({})));
        run.feed(&stream(&[text("a"), finish("stop"), done()]), at(1.0));
        assert!(run.ran.finished && run.ran.upstream.is_none(), "answered, not ended");
        let answer = Answer::read(&run.ran.wire);
        assert_eq!(shape::stream(&answer, INSTANT, 1, false), Ok(()));
        assert_eq!(deadline(&run), Some(2.0));
        run
    };
    let cases: Vec<(&str, Step, UpstreamEnd)> = vec![
        (
            "the last chunk",
            Box::new(|run| {
                run.feed(b"0\r\n\r\n", at(1.5));
            }),
            UpstreamEnd::Reuse,
        ),
        (
            "the last chunk in pieces",
            Box::new(|run| {
                run.feed(b"0\r", at(1.5)).feed(b"\n\r", at(1.6)).feed(b"\n", at(1.7));
            }),
            UpstreamEnd::Reuse,
        ),
        (
            "more events",
            Box::new(|run| {
                run.feed(&text("late"), at(1.5)).feed(b"0\r\n\r\n", at(1.6));
            }),
            UpstreamEnd::Reuse,
        ),
        (
            "bytes behind the end",
            Box::new(|run| {
                run.feed(b"0\r\n\r\nHTTP", at(1.5));
            }),
            UpstreamEnd::Close,
        ),
        (
            "a close",
            Box::new(|run| {
                run.end(Ending::Eof, at(1.5));
            }),
            UpstreamEnd::Close,
        ),
        (
            "a reset",
            Box::new(|run| {
                run.end(Ending::Lost, at(1.5));
            }),
            UpstreamEnd::Close,
        ),
        (
            "garbage",
            Box::new(|run| {
                run.feed(b"zz\r\n", at(1.5));
            }),
            UpstreamEnd::Close,
        ),
        (
            "nothing",
            Box::new(|run| {
                run.time(at(1.999));
                assert!(run.ran.upstream.is_none());
                run.time(at(2.0));
            }),
            UpstreamEnd::Close,
        ),
    ];
    for (name, step, upstream) in cases {
        let mut run = begin();
        let wire = run.ran.wire.clone();
        step(&mut run);
        let ran = run.finish();
        assert_eq!(ran.upstream, Some(upstream), "{name}");
        assert_eq!(ran.wire, wire, "{name}: the client hears no more");
        let record = ran.record.expect("a record");
        assert_eq!((letters(record.term).as_str(), record.outcome.name()), ("-D", "ok"), "{name}");
        assert_eq!(record.total, SECOND, "{name}: the client waited no longer");
    }
}

#[test]
fn a_client_that_leaves_behind_its_answer_changes_no_record() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[text("a"), finish("stop"), done()]), at(1.0));
    assert!(run.ran.finished);
    // A drain writes nothing after the end either.
    run.out = Output::default();
    let draining = ApiError::new(Code::Draining, "going");
    let term = Term(Who::Gateway, Where::Stream);
    run.exchange.refuse(&table, &draining, term, at(1.1), &mut run.out);
    assert!(run.out.is_empty());
    run.exchange.client_gone(at(1.1));
    let record = run.exchange.take_record().expect("a record");
    assert_eq!((letters(record.term).as_str(), record.outcome.name()), ("-D", "ok"));
    run.exchange.client_gone(at(1.2));
    assert!(run.exchange.take_record().is_none(), "one record a request");
}

#[test]
fn clients_that_leave_are_recorded_where_they_left() {
    let table = table();
    let term = |exchange: &mut Exchange| {
        exchange.client_gone(at(3.0));
        let record = exchange.take_record().expect("a record");
        assert_eq!(record.outcome.name(), "client_abort");
        assert_eq!(exchange.deadline(&table), None);
        let mut out = Output::default();
        let next = exchange.upstream_bytes(&table, &stream(&[text("late")]), at(4.0), &mut out);
        assert_eq!((next, out.is_empty()), (Next::Continue, true));
        (letters(record.term), record.status)
    };
    let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
    assert_eq!(term(&mut exchange), ("CQ".to_owned(), 499));
    let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
    exchange.granted(0, 1, START);
    assert_eq!(term(&mut exchange), ("CC".to_owned(), 499));
    let mut exchange = sent(&table, plan(&table, true), client());
    assert_eq!(term(&mut exchange), ("CF".to_owned(), 499));
    let mut exchange = sent(&table, plan(&table, true), client());
    let mut out = Output::default();
    let _ = exchange.upstream_bytes(&table, &stream(&[text("a")]), at(1.0), &mut out);
    assert_eq!(term(&mut exchange), ("CS".to_owned(), 200));
}

#[test]
fn a_drain_cuts_a_stream_with_an_event_and_a_waiting_request_with_a_status() {
    let table = table();
    let draining = ApiError::new(Code::Draining, "going").retry_after_ms(1500);
    let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
    let mut out = Output::default();
    exchange.refuse(&table, &draining, Term(Who::Gateway, Where::Queue), at(1.0), &mut out);
    let mut wire = Vec::new();
    out.assemble(|pieces| wire.extend(pieces.concat()));
    let answer = Answer::read(&wire);
    assert_eq!(
        answer.error().map(|error| (error.status, error.code)),
        Some((503, "draining".to_owned()))
    );
    assert_eq!(
        (answer.get("retry-after"), answer.get("retry-after-ms")),
        (Some("2"), Some("1500"))
    );
    let record = exchange.take_record().expect("a record");
    assert_eq!((letters(record.term).as_str(), record.outcome.name()), ("GQ", "rejected"));

    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[text("a")]), at(1.0));
    run.out = Output::default();
    run.exchange.refuse(
        &table,
        &draining,
        Term(Who::Gateway, Where::Stream),
        at(2.0),
        &mut run.out,
    );
    run.out.assemble(|pieces| run.ran.wire.extend(pieces.concat()));
    let answer = Answer::read(&run.ran.wire);
    let error = answer.error().expect("an error");
    assert_eq!((error.in_stream, error.code.as_str()), (true, "draining"));
    let record = run.exchange.take_record().expect("a record");
    assert_eq!(
        (letters(record.term).as_str(), record.status, record.code),
        ("GS", 200, Some(Code::Draining))
    );
}

#[test]
fn retry_after_of_the_backend_is_passed_on() {
    let table = table();
    let moment = httpdate::fmt_http_date(
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(START.unix_seconds() + 17),
    );
    for (when, seconds) in [
        ("17", "17"),
        (moment.as_str(), "17"),
        // A wrong clock, or a value in milliseconds: limited to an hour.
        ("Fri, 06 Nov 2099 08:49:37 GMT", "3600"),
        ("3600", "3600"),
        ("3601", "3600"),
        ("4294967295", "3600"),
        // A date in the past, and an invalid date: the minimum.
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1"),
        ("soon", "1"),
    ] {
        let wire = format!("HTTP/1.1 429 X\r\nretry-after: {when}\r\ncontent-length: 0\r\n\r\n");
        let mut run = Run::of(&table, &body(true, &json!({})));
        run.feed(wire.as_bytes(), START);
        let answer = Answer::read(&run.finish().wire);
        assert_eq!(answer.get("retry-after"), Some(seconds), "{when}");
        assert_eq!(answer.get("retry-after-ms"), Some(format!("{seconds}000").as_str()), "{when}");
    }
}

#[test]
fn a_neighbour_of_200_with_an_answer_is_one() {
    let table = table();
    for status in 200..=203 {
        let whole = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]});
        let mut run = Run::of(&table, &body(false, &json!({})));
        run.feed(&response(status, "application/json", &whole.to_string()), START);
        let answer = Answer::read(&run.finish().wire);
        assert_eq!((answer.status, answer.error()), (200, None), "{status}");
        let events = stream(&[text("x"), finish("stop"), done(), b"0\r\n\r\n".to_vec()]);
        let events =
            String::from_utf8(events).expect("text").replacen("200", &status.to_string(), 1);
        let mut run = Run::of(&table, &body(true, &json!({})));
        run.feed(events.as_bytes(), START);
        let answer = Answer::read(&run.finish().wire);
        assert_eq!((answer.status, answer.error(), answer.done), (200, None, true), "{status}");
    }
}

#[test]
fn a_408_that_closes_an_idle_connection_is_a_stale_connection() {
    let table = table();
    for (reused, headers, retry) in [
        (true, "connection: close\r\n", Retry::Stale),
        (false, "connection: close\r\n", Retry::Never),
        (true, "", Retry::Never),
    ] {
        let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
        exchange.granted(0, 1, START);
        exchange.send(&table, "served", reused.then_some(START.mono), START, &mut Vec::new());
        let wire = format!("HTTP/1.1 408 X\r\n{headers}content-length: 0\r\n\r\n");
        let next = exchange.upstream_bytes(&table, wire.as_bytes(), START, &mut Output::default());
        let Next::Failed { failure, .. } = next else { panic!("{next:?}") };
        assert_eq!(failure.retry(), retry, "{reused} {headers}");
    }
}

// The delayed 200 (P14).

#[test]
fn the_head_waits_for_the_first_meaningful_event() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    let usage =
        event(&json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}));
    for quiet in [
        stream(&[]),
        chunk(": ping\n\n"),
        chunk("event: ping\ndata:\n\n"),
        text(""),
        usage,
        delta(&json!({"content": ""})),
        delta(&json!({"content": null, "tool_calls": []})),
    ] {
        run.feed(&quiet, START);
        assert!(run.ran.wire.is_empty() && !run.exchange.has_begun());
    }
    run.feed(&delta(&json!({"content": "x"})), at(2.0));
    assert!(run.exchange.has_begun());
    let text = String::from_utf8(run.ran.wire.clone()).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(text.contains("server-timing: queue;dur=0.000, first;dur=2000.000\r\n"));
    assert!(text.contains("x-accel-buffering: no\r\n") && !text.contains("\r\nserver:"));
    run.feed(&[finish("stop"), done()].concat(), at(3.0));
    let answer = Answer::read(&run.finish().wire);
    assert_eq!(shape::stream(&answer, INSTANT, 1, false), Ok(()));
    assert_eq!(answer.events[0]["choices"][0]["delta"]["role"], "assistant");
}

#[test]
fn each_meaningful_event_begins_the_answer() {
    let table = table();
    for meaningful in [
        json!({"content": "x"}),
        json!({"reasoning_content": "x"}),
        json!({"reasoning": "x"}),
        json!({"refusal": "x"}),
        json!({"tool_calls": [{"index": 0, "id": "a"}]}),
    ] {
        let mut run = Run::of(&table, &body(true, &json!({})));
        run.feed(&stream(&[delta(&meaningful)]), START);
        assert!(run.exchange.has_begun(), "{meaningful}");
        // A missing role is added.
        let text = String::from_utf8(run.ran.wire.clone()).expect("text");
        assert!(text.contains("\"role\":\"assistant\""), "{text}");
    }
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[finish("length")]), START);
    assert!(run.exchange.has_begun(), "a finish reason");
}

#[test]
fn an_event_without_data_is_a_keep_alive() {
    let table = table();
    for ping in [
        "data:\n\n",
        "data: \n\n",
        "data\n\n",
        "data:\r\n\r\n",
        "data: \t  \n\n",
        "data:\ndata:\n\n",
        "data:\ndata: \ndata\n\n",
        "event: ping\ndata:\n\n",
        "id: 7\ndata: \n\n",
        "event: ping\n\n",
        "id: 7\n\n",
        "retry: 100\n\n",
        ": comment\n\n",
        ":\n\n",
        "\n\n",
        ": comment\nevent: ping\nid: 7\nretry: 100\ndata: \n\n",
    ] {
        let ping = chunk(ping);
        let shown = show(&ping);
        let mut run = Run::of(&table, &body(true, &json!({})));
        run.feed(&stream(std::slice::from_ref(&ping)), START);
        assert!(run.ran.wire.is_empty() && !run.exchange.has_begun(), "{shown}");
        assert_eq!(deadline(&run), Some(10.0), "{shown}");
        let parts = [
            text("a"),
            ping.clone(),
            text("b"),
            ping.clone(),
            finish("stop"),
            ping.clone(),
            done(),
        ];
        for part in &parts {
            run.feed(part, at(1.0));
        }
        let ran = run.finish();
        let answer = Answer::read(&ran.wire);
        assert_eq!(shape::stream(&answer, INSTANT, 1, false), Ok(()), "{shown}");
        assert_eq!((answer.content(0).as_str(), answer.events.len()), ("ab", 3), "{shown}");
        assert_eq!(ran.record.expect("a record").output_tokens, None);
    }
    // Alone they do not make an answer.
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&stream(&[chunk("data:\n\n"), done()]), START);
    let error = Answer::read(&run.finish().wire).error().expect("an error");
    assert_eq!((error.status, error.code.as_str()), (502, "upstream_truncated"));
}

#[test]
fn every_chunk_says_which_server_it_is_from() {
    let table = table();
    let of = |mut value: Value, server: bool| {
        if server {
            value["system_fingerprint"] = json!("fp_1");
            value["service_tier"] = json!("default");
        }
        event(&value)
    };
    let said = |content: &str, finish: Value| json!({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
    let request = body(true, &json!({"stream_options": {"include_usage": true}}));
    let run = |parts: &[Vec<u8>]| {
        let mut run = Run::of(&table, &request);
        run.feed(&stream(parts), START);
        let answer = Answer::read(&run.finish().wire);
        assert_eq!(shape::stream(&answer, INSTANT, 1, true), Ok(()));
        let tells = |event: &Value| {
            event["system_fingerprint"] == "fp_1" && event["service_tier"] == "default"
        };
        answer.events.iter().map(tells).collect::<Vec<bool>>()
    };
    let (a, b) = (said("a", Value::Null), said("b", json!("stop")));
    // Text and finish reason in one chunk become two, and the token counts a chunk of our own.
    assert_eq!(
        run(&[of(a.clone(), true), of(b.clone(), true), of(usage.clone(), true), done()]),
        [true; 4]
    );
    assert_eq!(
        run(&[of(a.clone(), false), of(b.clone(), true), of(usage.clone(), false), done()]),
        [false, true, true, true]
    );
    assert_eq!(
        run(&[of(a.clone(), false), of(b.clone(), false), of(usage.clone(), true), done()]),
        [false, false, false, true]
    );
    assert_eq!(run(&[of(a, false), of(b, false), of(usage, false), done()]), [false; 4]);
    // Null or a wrong type counts as absent.
    let mut odd = said("a", json!("stop"));
    odd["system_fingerprint"] = Value::Null;
    odd["service_tier"] = json!([1]);
    let mut whole = Run::of(&table, &body(true, &json!({})));
    whole.feed(&stream(&[event(&odd), done()]), START);
    let answer = Answer::read(&whole.finish().wire);
    let last = answer.events.last().expect("a finish chunk");
    assert!(last.get("system_fingerprint").is_none() && last.get("service_tier").is_none());
    // A whole answer as a stream.
    let value = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "service_tier": "default",
                       "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "system_fingerprint": "fp_1"});
    let mut whole = Run::of(&table, &request);
    whole.feed(&response(200, "application/json", &value.to_string()), START);
    let answer = Answer::read(&whole.finish().wire);
    assert_eq!(shape::stream(&answer, INSTANT, 1, true), Ok(()));
    for event in &answer.events {
        assert_eq!(
            (&event["system_fingerprint"], &event["service_tier"]),
            (&json!("fp_1"), &json!("default"))
        );
    }
}

#[test]
fn what_comes_behind_a_finish_is_dropped() {
    let table = table();
    let mut run = Run::of(&table, &body(true, &json!({})));
    let late = delta(&json!({"content": "late"}));
    run.feed(&stream(&[text("a"), finish("stop"), late, finish("length"), done()]), START);
    let answer = Answer::read(&run.finish().wire);
    assert_eq!(shape::stream(&answer, INSTANT, 1, false), Ok(()));
    assert_eq!((answer.content(0).as_str(), answer.events.len()), ("a", 2));
}

#[test]
fn usage_is_moved_to_the_end_or_left_out() {
    let table = table();
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "details": {"x": [1]}});
    let with_usage = |finish: Value| json!({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": finish}], "usage": usage});
    for asked in [true, false] {
        let request = body(true, &json!({"stream_options": {"include_usage": asked}}));
        for parts in [
            // On every chunk, on the finish chunk, in a chunk of its own.
            vec![event(&with_usage(Value::Null)), event(&with_usage(json!("stop"))), done()],
            vec![text("x"), event(&with_usage(json!("stop"))), done()],
            vec![text("x"), finish("stop"), event(&json!({"choices": [], "usage": usage})), done()],
            vec![
                text("x"),
                finish("stop"),
                event(&json!({"choices": null, "usage": usage})),
                done(),
            ],
        ] {
            let mut run = Run::of(&table, &request);
            run.feed(&stream(&parts), START);
            let ran = run.finish();
            let answer = Answer::read(&ran.wire);
            assert_eq!(shape::stream(&answer, INSTANT, 1, asked), Ok(()));
            if asked {
                assert_eq!(answer.events.last().map(|last| &last["usage"]), Some(&usage));
            }
            let record = ran.record.expect("a record");
            assert_eq!((record.prompt_tokens, record.output_tokens), (Some(3), Some(4)));
        }
    }
}

#[test]
fn json_where_a_stream_was_asked_becomes_a_stream() {
    let table = table();
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4});
    let tools = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
                       {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]);
    let one = |message: Value, reason: &str| {
        json!({"id": "t", "object": "chat.completion", "created": 1, "model": "served",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}], "usage": usage})
    };
    for asked in [true, false] {
        let request =
            |n: u32| body(true, &json!({"n": n, "stream_options": {"include_usage": asked}}));
        let drive = |n: u32, value: &Value| -> (Ran, Answer) {
            let mut run = Run::of(&table, &request(n));
            run.feed(
                &response(
                    200,
                    "application/json; charset=utf-8",
                    &serde_json::to_string_pretty(value).expect("JSON"),
                ),
                at(1.0),
            );
            let ran = run.finish();
            assert_eq!(ran.upstream, Some(UpstreamEnd::Reuse));
            let answer = Answer::read(&ran.wire);
            assert_eq!(shape::stream(&answer, INSTANT, n as usize, asked), Ok(()));
            (ran, answer)
        };
        let (ran, answer) =
            drive(1, &one(json!({"role": "assistant", "content": "hello\nworld"}), "stop"));
        assert_eq!(answer.content(0), "hello\nworld");
        let record = ran.record.expect("a record");
        assert_eq!((letters(record.term).as_str(), record.output_tokens), ("-D", Some(4)));

        let (_, answer) = drive(
            1,
            &one(json!({"role": "assistant", "content": null, "tool_calls": tools}), "tool_calls"),
        );
        let calls = &answer.events[0]["choices"][0]["delta"]["tool_calls"];
        assert_eq!((&calls[0]["index"], &calls[1]["index"]), (&json!(0), &json!(1)));
        assert_eq!(calls[1]["function"], tools[1]["function"]);
        assert_eq!(answer.events[1]["choices"][0]["finish_reason"], "tool_calls");

        let two = json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"},
                                     {"message": {"content": "b"}, "finish_reason": "length"}], "usage": usage});
        let (_, answer) = drive(2, &two);
        assert_eq!((answer.content(0).as_str(), answer.content(1).as_str()), ("a", "b"));
    }
    // An empty answer is an answer.
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(
        &response(200, "application/json", &one(json!({"content": ""}), "stop").to_string()),
        START,
    );
    assert_eq!(shape::stream(&Answer::read(&run.finish().wire), INSTANT, 1, false), Ok(()));
    // A call that has an index keeps it; odd ones pass.
    let odd = one(json!({"tool_calls": [{"index": 5}, {}, 7]}), "stop");
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&response(200, "application/json", &odd.to_string()), START);
    let answer = Answer::read(&run.finish().wire);
    assert_eq!(
        answer.events[0]["choices"][0]["delta"]["tool_calls"],
        json!([{"index": 5}, {"index": 1}, 7])
    );
}

#[test]
fn keys_that_appear_twice_break_nothing() {
    let table = table();
    // Whole, as a stream: the calls of one message, the other message.
    let twice = r#"{"choices":[{"message":{"tool_calls":[{"id":"a"}]},"message":{"content":"x"},"finish_reason":"stop"}]}"#;
    let mut run = Run::of(&table, &body(true, &json!({})));
    run.feed(&response(200, "application/json", twice), START);
    let answer = Answer::read(&run.finish().wire);
    assert_eq!((answer.error(), answer.content(0).as_str()), (None, "x"));
    // Streamed: two deltas in one choice.
    for choice in [
        r#"{"index":0,"delta":{"content":"a"},"delta":{}}"#,
        r#"{"index":0,"delta":{},"delta":{"content":"a"}}"#,
        r#"{"index":0,"delta":{"role":"assistant"},"delta":null,"finish_reason":"stop"}"#,
        r#"{"index":0,"delta":{"role":null,"content":"a"},"delta":{"content":"b"}}"#,
        r#"{"index":0,"delta":{"role":"x","role":"y","content":"a"}}"#,
    ] {
        let mut run = Run::of(&table, &body(true, &json!({})));
        let wire = chunk(&format!("data: {{\"choices\":[{choice}]}}\n\n"));
        run.feed(&stream(&[wire.clone(), wire, text("b"), finish("stop"), done()]), START);
        // Every event parses, or the answer is an error.
        let _ = Answer::read(&run.finish().wire).error();
    }
}

#[test]
fn old_clients_get_no_chunks() {
    let table = table();
    let old = |keep_alive| Client { keep_alive, http10: true, ..client() };
    let mut run = Run::new(&table, plan(&table, true), old(true));
    run.feed(&stream(&[text("a")]), START)
        .feed(&[text("b"), finish("stop")].concat(), START)
        .feed(&done(), START);
    let answer = Answer::read(&run.finish().wire);
    assert_eq!((answer.get("transfer-encoding"), answer.get("connection")), (None, Some("close")));
    assert_eq!(shape::stream(&answer, INSTANT, 1, false), Ok(()));
    assert_eq!(answer.content(0), "ab");

    let whole =
        r#"{"choices":[{"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#;
    for (keep_alive, connection) in [(true, "keep-alive"), (false, "close")] {
        let mut run = Run::new(&table, plan(&table, false), old(keep_alive));
        run.feed(&response(200, "application/json", whole), START);
        let answer = Answer::read(&run.finish().wire);
        assert_eq!(answer.get("connection"), Some(connection));
        assert_eq!(shape::body(&answer, INSTANT, 1), Ok(()));
    }
    let mut run = Run::new(&table, plan(&table, true), Client { keep_alive: false, ..client() });
    run.feed(&stream(&[text("a"), finish("stop"), done()]), START);
    let answer = Answer::read(&run.finish().wire);
    assert_eq!(
        (answer.get("transfer-encoding"), answer.get("connection")),
        (Some("chunked"), Some("close"))
    );
}

#[test]
fn the_record_of_a_good_request() {
    let table = table();
    let mut exchange = Exchange::new(plan(&table, true), client(), "id", START);
    exchange.granted(1, 0xabc, at(0.25));
    exchange.send(&table, "served", None, at(0.5), &mut Vec::new());
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2}});
    for (piece, time) in [
        (stream(&[text("a")]), 1.0),
        (delta(&json!({"content": "b"})), 1.5),
        (delta(&json!({"content": "c"})), 1.75),
        ([finish("stop"), event(&usage), done(), b"0\r\n\r\n".to_vec()].concat(), 2.0),
    ] {
        let _ = exchange.upstream_bytes(&table, &piece, at(time), &mut Output::default());
    }
    let record = exchange.take_record().expect("a record");
    assert_eq!(record.request_id, "req-1");
    assert_eq!(record.upstream_id.as_deref(), Some("req-1-00000abc"));
    assert_eq!((record.served.tier, record.served.backend), (Some(0), Some(1)));
    assert_eq!(table.models[usize::from(record.served.model.expect("known"))], INSTANT);
    assert_eq!((record.status, record.code, record.attempts), (200, None, 1));
    assert_eq!(
        (record.queued, record.first, record.total),
        (Some(SECOND / 4), Some(SECOND), 2 * SECOND)
    );
    assert_eq!((record.prompt_tokens, record.output_tokens), (Some(11), Some(2)));
    // There is no gap before the first piece; each later piece and the finish chunk adds one.
    assert_eq!(record.gaps.count(), 3);
    let mut line = Vec::new();
    access_log::write_line(&record, 1_500_000_000, &table, &mut line);
    assert_eq!(line.last(), Some(&b'\n'));
    let value: Value = serde_json::from_slice(&line).expect("one JSON line");
    assert_eq!(
        (&value["term"], &value["first_ms"], &value["output_tokens"]),
        (&json!("-D"), &json!(1000.0), &json!(2))
    );
}
