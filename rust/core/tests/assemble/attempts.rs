//! What each backend is sent, and how its answers are handled.

use penstock_core::endpoint::Chat;
use penstock_core::exchange::{Exchange, Failure, Next, Output, Retry, UpstreamEnd};
use penstock_core::routing::{Plan, Table};
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::drive::{Ending, client};
use crate::support::{INSTANT, START, naive, show};
use crate::wire::{
    choice, chunk, done, event, finish, plan, response, run, stream, table, table_with, text,
};

/// Head and body of the request that `backend` gets of this one.
fn sent(table: &Table, body: &str, backend: u16) -> (String, String) {
    let plan = Plan::make(table, &Chat, body.as_bytes()).expect("a good request");
    let mut exchange = Exchange::new(plan, client(), "chatcmpl-own", START);
    exchange.granted(backend, 7, START);
    request(&mut exchange, table)
}

fn request(exchange: &mut Exchange, table: &Table) -> (String, String) {
    let mut wire = Vec::new();
    let tail = exchange.send(table, "served", None, START, &mut wire).to_vec();
    wire.extend_from_slice(&tail);
    let head = naive::find(&wire, b"\r\n\r\n").expect("a head") + 4;
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("text");
    let (head, body) = (text(&wire[..head]), text(&wire[head..]));
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}{body}");
    (head, body)
}

const HI: &str = r#""messages":[{"role":"user","content":"hi, \"stream\":false,"}]"#;

#[test]
fn a_whole_answer_is_asked_for_as_a_stream() {
    let table = table();
    let asks = r#""stream":true,"stream_options":{"include_usage":true},"#;
    let rows = [
        (format!(r#"{{"model":"{INSTANT}",{HI}}}"#), HI.to_owned()),
        (format!(r#"{{"model":"{INSTANT}",{HI},"stream":false}}"#), HI.to_owned()),
        (format!(r#"{{"stream":false,"model":"{INSTANT}",{HI}}}"#), HI.to_owned()),
        (format!(r#"{{ "stream" : false , "model":"{INSTANT}", {HI} }}"#), format!(" {HI} ")),
        (format!(r#"{{"model":"{INSTANT}","stream":null,{HI}}}"#), HI.to_owned()),
        (
            format!(r#"{{"model":"{INSTANT}","n":2,"stream":false,{HI},"top_p":1}}"#),
            format!(r#""n":2,{HI},"top_p":1"#),
        ),
        (
            format!(r#"{{{HI},"stream":false,"model":"{INSTANT}","max_tokens":5}}"#),
            format!(r#"{HI},"max_tokens":5"#),
        ),
        (
            format!(
                r#"{{{HI},"stream_options":{{"include_usage":false}},"str\u0065am":false,"model":"{INSTANT}"}}"#
            ),
            HI.to_owned(),
        ),
    ];
    for (body, rest) in rows {
        let (head, sent) = sent(&table, &body, 0);
        assert!(head.contains("accept: text/event-stream\r\n"), "{head}");
        let strip = |text: &str| text.replace(' ', "");
        let expected = format!(r#"{{"model":"served",{asks}{rest}}}"#);
        assert_eq!(strip(&sent), strip(&expected), "{body}");
        let value: Value = serde_json::from_str(&sent).expect("JSON");
        assert_eq!(value["stream"], json!(true));
        assert_eq!(value["messages"][0]["content"], "hi, \"stream\":false,");
    }
}

#[test]
fn a_backend_without_it_gets_what_the_client_has_sent() {
    let table = table();
    let body = format!(r#"{{"model":"{INSTANT}",{HI},"stream":false,"top_p":1}}"#);
    let (head, sent) = sent(&table, &body, 1);
    assert!(head.contains("accept: application/json\r\n"), "{head}");
    assert_eq!(sent, format!(r#"{{"model":"served","stream":false,{HI},"top_p":1}}"#));
    let unsaid = format!(r#"{{"model":"{INSTANT}",{HI},"top_p":1}}"#);
    let (_, sent) = self::sent(&table, &unsaid, 1);
    assert_eq!(sent, format!(r#"{{"model":"served",{HI},"top_p":1}}"#));
    // If no backend of the tier streams whole answers, `stream` stays where it was.
    let (_, sent) = self::sent(&crate::support::table(), &body, 1);
    assert_eq!(sent, format!(r#"{{"model":"served",{HI},"stream":false,"top_p":1}}"#));
}

#[test]
fn a_stream_is_a_stream_everywhere() {
    let table = table();
    let body = format!(r#"{{"model":"{INSTANT}",{HI},"stream":true}}"#);
    let ours = r#""stream_options":{"include_usage":true}"#;
    for backend in [0, 1] {
        let (_, sent) = sent(&table, &body, backend);
        assert_eq!(sent, format!(r#"{{"model":"served",{HI},"stream":true,{ours}}}"#));
    }
}

/// Each attempt follows its backend's `stream_whole`, and the answer contains nothing of the first attempt.
#[test]
fn a_retry_goes_to_a_backend_that_is_asked_otherwise() {
    let table = table();
    let own = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{own}",
        own.len()
    );
    let good = [choice(&json!({"content": "assembled"}), None), choice(&json!({}), Some("stop"))];
    let good = response(&good);
    for (first, second, content) in [(0, 1, "whole"), (1, 0, "assembled")] {
        let body = format!(r#"{{"model":"{INSTANT}",{HI},"stream":false}}"#);
        let plan = Plan::make(&table, &Chat, body.as_bytes()).expect("a good request");
        let mut exchange = Exchange::new(plan, client(), "chatcmpl-own", START);
        exchange.granted(first, 7, START);
        let before = request(&mut exchange, &table).1;
        let part = if first == 0 { &good[..good.len() - 40] } else { &whole.as_bytes()[..150] };
        let mut out = Output::default();
        let next = exchange.upstream_bytes(&table, part, START, &mut out);
        assert_eq!(next, Next::Continue);
        assert_eq!(exchange.has_first(), first == 0);
        let Next::Failed { failure, .. } = exchange.upstream_lost(&table, START, &mut out) else {
            panic!("it is lost");
        };
        assert!(out.is_empty());
        assert_eq!(failure.retry(), Retry::Budgeted);
        exchange.requeued();
        exchange.granted(second, 8, START);
        let after = request(&mut exchange, &table).1;
        assert_eq!(
            [&before, &after].map(|sent| sent.contains("\"stream\":true")),
            [first == 0, second == 0]
        );
        assert!(!exchange.has_first(), "a new attempt has its own first event");
        assert_eq!(exchange.pace().pieces, 0);
        let rest = if second == 0 { good.as_slice() } else { whole.as_bytes() };
        let next = exchange.upstream_bytes(&table, rest, START, &mut out);
        assert!(matches!(next, Next::Ended(_)), "{next:?}");
        let wire = out.assemble(|pieces| pieces.concat());
        let answer = Answer::read(&wire);
        assert_eq!(answer.json()["choices"][0]["message"]["content"], content);
        let record = exchange.take_record().expect("a record");
        assert_eq!((record.attempts, record.status), (2, 200));
        assert_eq!(record.gaps.count(), u64::from(second == 0), "of the last attempt alone");
    }
}

#[test]
fn a_whole_answer_all_the_same_is_one() {
    let table = table();
    let own = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"odd":1}"#;
    let wire = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{own}",
        own.len()
    );
    let plan = plan(&table, 1);
    let ran = run(&table, &plan, &[wire.as_bytes()], Ending::Open);
    let value = Answer::read(&ran.wire).json();
    assert_eq!((&value["id"], &value["odd"]), (&json!("chatcmpl-own"), &json!(1)));
    assert_eq!(ran.upstream, Some(UpstreamEnd::Reuse));
}

/// Name, wire, ending, status, code, and what is done with the connection.
type Row = (&'static str, Vec<u8>, Ending, u16, &'static str, UpstreamEnd);

fn failures() -> Vec<Row> {
    use Ending::{Eof, Lost, Open};
    use UpstreamEnd::{Abort, Close, Reuse};
    let error = |value: Value| event(&json!({"error": value}));
    let status = |status: u16, body: &str| {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n");
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let open = |parts: &[Vec<u8>]| {
        let whole = stream(parts);
        whole[..whole.len() - 5].to_vec()
    };
    vec![
        ("no finish reason", stream(&[text("a")]), Open, 502, "upstream_truncated", Close),
        ("done too early", open(&[text("a"), done()]), Open, 502, "upstream_truncated", Abort),
        ("nothing", stream(&[done()]), Open, 502, "upstream_truncated", Close),
        ("cut", open(&[text("a")]), Eof, 502, "upstream_truncated", Close),
        ("broken", open(&[text("a")]), Lost, 502, "upstream_reset", Close),
        (
            "garbage",
            open(&[text("a"), chunk("data: {nonsense\n\n")]),
            Open,
            502,
            "upstream_garbage",
            Abort,
        ),
        (
            "no framing",
            [open(&[text("a")]), b"zz\r\n".to_vec()].concat(),
            Open,
            502,
            "upstream_garbage",
            Abort,
        ),
        (
            "an error first",
            stream(&[error(json!({"message": "CUDA out of memory", "code": 500}))]),
            Open,
            502,
            "upstream_error",
            Close,
        ),
        (
            "an error in the middle",
            open(&[text("a"), error(json!({"message": "CUDA out of memory", "code": 500}))]),
            Open,
            502,
            "upstream_error",
            Abort,
        ),
        (
            "the client's error",
            stream(&[error(
                json!({"message": "This model's maximum context length is 4096", "code": 400}),
            )]),
            Open,
            400,
            "context_length_exceeded",
            Close,
        ),
        (
            "full",
            stream(&[error(json!({"type": "overloaded_error"}))]),
            Open,
            429,
            "upstream_overloaded",
            Close,
        ),
        (
            "a status",
            status(400, r#"{"error":{"message":"bad"}}"#),
            Open,
            400,
            "invalid_value",
            Reuse,
        ),
        (
            "unfinished, as JSON",
            status(200, r#"{"choices":[{"message":{"content":"a"}}]}"#),
            Open,
            502,
            "upstream_truncated",
            Reuse,
        ),
    ]
}

#[test]
fn failures_are_those_of_a_whole_answer() {
    let table = table();
    for (name, wire, ending, status, code, upstream) in failures() {
        let ran = run(&table, &plan(&table, 1), &[&wire], ending);
        let answer = Answer::read(&ran.wire);
        let error = answer.error().unwrap_or_else(|| panic!("{name}: {}", show(&ran.wire)));
        assert_eq!((error.status, &*error.code), (status, code), "{name}");
        assert!(!error.in_stream, "{name}");
        assert_eq!(ran.upstream, Some(upstream), "{name}");
        let record = ran.record.unwrap_or_else(|| panic!("{name}: no record"));
        assert_eq!(record.status, status, "{name}");
    }
}

#[test]
fn fewer_choices_than_asked_for() {
    let table = table();
    let wire = stream(&[text("a"), finish("stop"), done()]);
    let ran = run(&table, &plan(&table, 2), &[&wire], Ending::Open);
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.status, &*error.code), (502, "upstream_ignored_parameter"));
}

#[test]
fn the_answer_is_bounded_as_a_whole_one_is() {
    let long = "x".repeat(1000);
    let parts = [text(&long), text(&long), finish("stop"), done()];
    let rows = [(1900, "upstream_too_large"), (2050, "upstream_too_large"), (2500, "")];
    for (limit, code) in rows {
        let table = table_with(|config| config["response_limit"] = json!(limit));
        let ran = run(&table, &plan(&table, 1), &[&stream(&parts)], Ending::Open);
        let error = Answer::read(&ran.wire).error();
        assert_eq!(error.map_or(String::new(), |error| error.code), code, "{limit}");
        if limit == 1900 {
            assert_eq!(ran.failure, Some(Failure::TooLarge { limit }));
        }
    }
    // The limit applies to the answer, not to the longer stream.
    let table = table_with(|config| config["response_limit"] = json!(2500));
    let mut parts = vec![text("a"); 500];
    parts.extend([finish("stop"), done()]);
    let ran = run(&table, &plan(&table, 1), &[&stream(&parts)], Ending::Open);
    assert_eq!(Answer::read(&ran.wire).status, 200);
}

#[test]
fn an_oversized_event_is_garbage() {
    let table = table_with(|config| config["event_limit"] = json!(1000));
    let ran = run(&table, &plan(&table, 1), &[&stream(&[text(&"x".repeat(1000))])], Ending::Open);
    let error = Answer::read(&ran.wire).error().expect("an error");
    assert_eq!((error.status, &*error.code), (502, "upstream_garbage"));
}
