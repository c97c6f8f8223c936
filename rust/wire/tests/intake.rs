//! A connection's bytes, cut into requests: the same ones however they arrive.

use penstock_testing::property;
use penstock_wire::http::{Intake, RequestLines, Taken, Terms};
use proptest::prelude::*;

fn terms() -> Terms {
    let lines = RequestLines::of(["/v1/chat/completions", "/v1/other"]);
    Terms { lines, head: 300, body: 100, noted: vec!["x-request-id".into(), "x-tenant".into()] }
}

fn request(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// What one connection came to: each request's body and notes, and the bytes that were left.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    requests: Vec<(Vec<u8>, Option<String>, Option<String>)>,
    foreign: bool,
    rest: Vec<u8>,
}

/// Feeds the pieces, and finishes each request at once.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let (terms, mut intake, mut seen) = (terms(), Intake::default(), Seen::default());
    for piece in pieces {
        let mut piece = piece;
        loop {
            match intake.take(&terms, piece) {
                Taken::Nothing => break,
                Taken::Request(request) => {
                    assert!(intake.is_serving());
                    let note = |header| request.noted(header).map(str::to_owned);
                    seen.requests.push((request.body().to_vec(), note(0), note(1)));
                    assert_eq!(intake.take(&terms, b""), Taken::Nothing, "one at a time");
                    intake.finished();
                }
                Taken::Foreign => {
                    seen.foreign = true;
                    break;
                }
            }
            piece = b"";
        }
    }
    seen.rest = intake.leave();
    assert!(intake.is_gone());
    seen
}

#[test]
fn the_same_requests_at_every_split() {
    let text = [
        request("x-request-id: one\r\n", "{\"a\": 1}"),
        request("X-Tenant: t\r\nX-Request-ID: two\r\nx-request-id:  three \r\n", ""),
        request("", "POST /v1/chat/completions HTTP/1.1\r\n\r\n"),
        "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        request("", "{}"),
    ]
    .concat();
    let bytes = text.as_bytes();
    let whole = feed([bytes]);
    let note = |text: &str| Some(text.to_owned());
    assert_eq!(
        whole.requests,
        [
            (b"{\"a\": 1}".to_vec(), note("one"), None),
            (vec![], note("three"), note("t")),
            (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n".to_vec(), None, None),
        ]
    );
    assert!(whole.foreign && whole.rest.starts_with(b"GET /livez") && whole.rest.ends_with(b"{}"));
    for cut in 0..=bytes.len() {
        assert_eq!(feed([&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(feed(bytes.chunks(1)), whole);
}

#[test]
fn what_is_foreign() {
    for text in [
        "G".to_owned(),
        "POST /v1/models HTTP/1.1\r\n".to_owned(),
        request("Expect: 100-continue\r\n", "{}"),
        request("", &"x".repeat(101)),
        request(&format!("x: {}\r\n", "y".repeat(300)), "{}"),
        // Too long already, and its end is not in sight.
        format!("POST /v1/chat/completions HTTP/1.1\r\nx: {}", "y".repeat(300)),
    ] {
        let seen = feed([text.as_bytes()]);
        assert!(seen.foreign && seen.requests.is_empty(), "{text}");
        assert_eq!(seen.rest, text.as_bytes(), "not a byte is lost");
    }
    let seen = feed([request("", &"x".repeat(100)).as_bytes()]);
    assert_eq!((seen.requests.len(), seen.foreign), (1, false));
}

#[test]
fn a_whole_hot_head_is_served_and_nothing_else() {
    let terms = terms();
    let hot = request("", "{}");
    let head = hot.len() - 2;
    for cut in 0..=hot.len() {
        assert_eq!(terms.serves(&hot.as_bytes()[..cut]), cut >= head, "{cut}");
    }
    assert!(!terms.serves(request("Expect: 100-continue\r\n", "{}").as_bytes()));
    assert!(!terms.serves(request("", &"x".repeat(101)).as_bytes()));
}

#[test]
fn what_comes_while_a_request_is_in_hand_is_kept() {
    let (terms, mut intake) = (terms(), Intake::default());
    let (first, second) = (request("", "1"), request("x-request-id: b\r\n", "22"));
    assert!(matches!(intake.take(&terms, first.as_bytes()), Taken::Request(_)));
    let (early, late) = second.as_bytes().split_at(second.len() - 1);
    assert_eq!(intake.take(&terms, early), Taken::Nothing);
    assert_eq!(intake.held(), early.len());
    assert_eq!(intake.noted(0), None, "nothing is read ahead");
    intake.finished();
    assert_eq!(intake.take(&terms, b""), Taken::Nothing);
    assert!(intake.is_reading_body());
    assert_eq!(intake.noted(0), Some("b"), "known before the body is whole");
    let Taken::Request(request) = intake.take(&terms, late) else { panic!("it is whole") };
    assert_eq!(request.body(), b"22");
    assert_eq!(intake.held(), 0);
}

#[test]
fn what_is_kept_is_looked_at_when_asked() {
    let bytes = request("", "{}");
    for cut in 0..bytes.len() {
        let (terms, mut intake) = (terms(), Intake::default());
        let (early, late) = bytes.as_bytes().split_at(cut);
        assert_eq!(intake.take(&terms, early), Taken::Nothing);
        intake.keep(late);
        assert_eq!(intake.held(), bytes.len());
        let Taken::Request(request) = intake.take(&terms, b"") else { panic!("it is whole") };
        assert_eq!(request.body(), b"{}", "cut at {cut}");
    }
    let mut intake = Intake::default();
    intake.leave();
    intake.keep(b"too late");
    assert_eq!(intake.held(), 0, "nobody would ever take it");
}

#[test]
fn a_request_that_is_put_back_leaves_with_all_its_bytes() {
    for ahead in ["", "GET"] {
        let bytes = request("", "{}") + ahead;
        for cut in 0..bytes.len() - ahead.len() {
            let (terms, mut intake) = (terms(), Intake::default());
            let (early, late) = bytes.as_bytes().split_at(cut);
            assert_eq!(intake.take(&terms, early), Taken::Nothing);
            let Taken::Request(request) = intake.take(&terms, late) else { panic!("it is whole") };
            intake.put_back(request);
            assert_eq!(intake.leave(), bytes.as_bytes(), "cut at {cut}");
        }
    }
}

#[test]
fn what_waits_behind_a_request_stays_in_its_order() {
    let (terms, mut intake) = (terms(), Intake::default());
    let requests: Vec<String> = (0..60).map(|at| request("", &"x".repeat(at))).collect();
    let mut rest = requests.concat().into_bytes();
    let all = rest.len();
    let mut given = 0;
    for (at, wanted) in requests.iter().enumerate() {
        // More comes while most of what came before still waits, so the used part is dropped by and by.
        let piece: Vec<u8> = rest.drain(..rest.len().min(97)).collect();
        given += piece.len();
        intake.keep(&piece);
        if at % 7 == 0
            && let Taken::Request(request) = intake.take(&terms, b"")
        {
            intake.put_back(request);
        }
        let taken = match intake.take(&terms, b"") {
            Taken::Nothing => {
                given += rest.len();
                intake.take(&terms, &std::mem::take(&mut rest)).into_request()
            }
            taken => taken.into_request(),
        };
        assert_eq!(taken, wanted.split_once("\r\n\r\n").map(|(_, body)| body.as_bytes().to_vec()));
        intake.finished();
        let used: usize = requests[..=at].iter().map(String::len).sum();
        assert_eq!(intake.held(), given - used);
    }
    assert_eq!((given, intake.held()), (all, 0));
}

/// The body of what was taken.
trait IntoRequest {
    fn into_request(self) -> Option<Vec<u8>>;
}

impl IntoRequest for Taken<'_> {
    fn into_request(self) -> Option<Vec<u8>> {
        match self {
            Taken::Request(request) => Some(request.body().to_vec()),
            Taken::Nothing | Taken::Foreign => None,
        }
    }
}

#[test]
fn after_the_end_nothing_is_a_request() {
    let (terms, mut intake) = (terms(), Intake::default());
    assert_eq!(intake.leave(), b"");
    intake.finished();
    assert_eq!(intake.take(&terms, request("", "{}").as_bytes()), Taken::Nothing);
}

#[test]
fn pieces_of_any_size() {
    let kinds = prop::sample::select(vec![
        request("", "{}"),
        request("x-request-id: a\r\n", "{\"b\": 2}"),
        request("", ""),
        request("Connection: close\r\n", "{}"),
        "\r\n".to_owned(),
    ]);
    let texts = prop::collection::vec(kinds, 0..6).prop_map(|texts| texts.concat());
    let sizes = prop::collection::vec(1..120usize, 1..40);
    property(2000, &(texts, sizes), |(text, sizes)| {
        let mut pieces = Vec::new();
        let mut rest = text.as_bytes();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        prop_assert_eq!(feed(pieces), feed([text.as_bytes()]));
        Ok(())
    });
}

/// A head like the one before is compared, not read; what comes of it must be what reading says.
#[test]
fn a_head_seen_before_changes_nothing() {
    let headers = prop::sample::select(vec!["", "x-request-id: a\r\n", "x-tenant: t\r\nX: y\r\n"]);
    let change = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    let one = (headers, 0..130usize, change).prop_map(|(headers, length, change)| {
        let mut text = request(headers, &"b".repeat(length)).into_bytes();
        if let Some((at, byte)) = change {
            let at = at.index(text.len() - length);
            text[at] = byte;
        }
        text
    });
    property(5000, &prop::collection::vec(one, 1..8), |texts| {
        let mut expected = Seen::default();
        let mut at = 0;
        for text in &texts {
            // By an intake that has seen nothing.
            let alone = feed([&text[..]]);
            at += text.len();
            expected.requests.extend(alone.requests);
            expected.foreign = alone.foreign;
            if alone.foreign || !alone.rest.is_empty() {
                expected.rest = alone.rest;
                break;
            }
        }
        let whole = texts.concat();
        let mut seen = feed([&whole[..at]]);
        // In one read and in one for each.
        let mut rest = &whole[..at];
        let pieces = texts.iter().map_while(|text| {
            let (piece, behind) = rest.split_at(text.len().min(rest.len()));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(&feed(pieces), &seen);
        if !expected.foreign && !expected.rest.is_empty() {
            // Its length has changed: what is behind the last request is a matter of its own.
            seen.requests.truncate(expected.requests.len());
            (seen.rest, seen.foreign) = (expected.rest.clone(), false);
        }
        prop_assert_eq!(seen, expected);
        Ok(())
    });
}

/// A connection that changes its path from one request to the next.
#[test]
fn each_request_has_its_own_path() {
    let (terms, mut intake) = (terms(), Intake::default());
    for (path, at) in
        [("/v1/other", 1), ("/v1/chat/completions", 0), ("/v1/other", 1), ("/v1/other", 1)]
    {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        let Taken::Request(request) = intake.take(&terms, request.as_bytes()) else {
            panic!("a request")
        };
        assert_eq!(request.path(), at, "{path}");
        intake.finished();
    }
}
