//! A connection's bytes, decoded into requests: the same ones however they arrive.

use penstock_testing::property;
use penstock_wire::http::{Decoded, DecoderConfig, RequestDecoder, RequestLines};
use proptest::prelude::*;

fn config() -> DecoderConfig {
    let lines = RequestLines::new(["/v1/chat/completions", "/v1/other"]);
    let captured = vec!["x-request-id".into(), "x-tenant".into()];
    DecoderConfig { lines, max_head: 300, max_body: 100, captured }
}

fn request(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// What one connection came to: each request's body and captured headers, and the bytes that were left.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    requests: Vec<(Vec<u8>, Option<String>, Option<String>)>,
    unsupported: bool,
    rest: Vec<u8>,
}

/// Feeds the pieces, and finishes each request at once.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let (config, mut decoder, mut seen) = (config(), RequestDecoder::default(), Seen::default());
    for piece in pieces {
        let mut piece = piece;
        loop {
            match decoder.decode(&config, piece) {
                Decoded::Pending => break,
                Decoded::Request(request) => {
                    assert!(decoder.is_serving());
                    let captured = |header| request.captured(header).map(str::to_owned);
                    seen.requests.push((request.body().to_vec(), captured(0), captured(1)));
                    assert_eq!(decoder.decode(&config, b""), Decoded::Pending, "one at a time");
                    decoder.finish();
                }
                Decoded::Unsupported => {
                    seen.unsupported = true;
                    break;
                }
            }
            piece = b"";
        }
    }
    seen.rest = decoder.close();
    assert!(decoder.is_closed());
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
    let value = |text: &str| Some(text.to_owned());
    assert_eq!(
        whole.requests,
        [
            (b"{\"a\": 1}".to_vec(), value("one"), None),
            (vec![], value("three"), value("t")),
            (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n".to_vec(), None, None),
        ]
    );
    assert!(
        whole.unsupported && whole.rest.starts_with(b"GET /livez") && whole.rest.ends_with(b"{}")
    );
    for cut in 0..=bytes.len() {
        assert_eq!(feed([&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(feed(bytes.chunks(1)), whole);
}

#[test]
fn what_is_unsupported() {
    for text in [
        "G".to_owned(),
        "POST /v1/models HTTP/1.1\r\n".to_owned(),
        request("Expect: 100-continue\r\n", "{}"),
        request("", &"x".repeat(101)),
        request(&format!("x: {}\r\n", "y".repeat(300)), "{}"),
        // Too long already, and its end has not arrived.
        format!("POST /v1/chat/completions HTTP/1.1\r\nx: {}", "y".repeat(300)),
    ] {
        let seen = feed([text.as_bytes()]);
        assert!(seen.unsupported && seen.requests.is_empty(), "{text}");
        assert_eq!(seen.rest, text.as_bytes(), "not a byte is lost");
    }
    let seen = feed([request("", &"x".repeat(100)).as_bytes()]);
    assert_eq!((seen.requests.len(), seen.unsupported), (1, false));
}

#[test]
fn a_whole_supported_head_and_nothing_else() {
    let config = config();
    let bytes = request("", "{}");
    let head = bytes.len() - 2;
    for cut in 0..=bytes.len() {
        assert_eq!(
            RequestDecoder::supports(&config, &bytes.as_bytes()[..cut]),
            cut >= head,
            "{cut}"
        );
    }
    assert!(!RequestDecoder::supports(
        &config,
        request("Expect: 100-continue\r\n", "{}").as_bytes()
    ));
    assert!(!RequestDecoder::supports(&config, request("", &"x".repeat(101)).as_bytes()));
}

#[test]
fn what_comes_while_a_request_is_served_is_buffered() {
    let (config, mut decoder) = (config(), RequestDecoder::default());
    let (first, second) = (request("", "1"), request("x-request-id: b\r\n", "22"));
    assert!(matches!(decoder.decode(&config, first.as_bytes()), Decoded::Request(_)));
    let (early, late) = second.as_bytes().split_at(second.len() - 1);
    assert_eq!(decoder.decode(&config, early), Decoded::Pending);
    assert_eq!(decoder.buffered(), early.len());
    assert_eq!(decoder.captured(0), None, "nothing is read ahead");
    decoder.finish();
    assert_eq!(decoder.decode(&config, b""), Decoded::Pending);
    assert!(decoder.is_reading_body());
    assert_eq!(decoder.captured(0), Some("b"), "known before the body is whole");
    let Decoded::Request(request) = decoder.decode(&config, late) else { panic!("it is whole") };
    assert_eq!(request.body(), b"22");
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn what_is_buffered_is_decoded_when_asked() {
    let bytes = request("", "{}");
    for cut in 0..bytes.len() {
        let (config, mut decoder) = (config(), RequestDecoder::default());
        let (early, late) = bytes.as_bytes().split_at(cut);
        assert_eq!(decoder.decode(&config, early), Decoded::Pending);
        decoder.buffer(late);
        assert_eq!(decoder.buffered(), bytes.len());
        let Decoded::Request(request) = decoder.decode(&config, b"") else { panic!("it is whole") };
        assert_eq!(request.body(), b"{}", "cut at {cut}");
    }
    let mut decoder = RequestDecoder::default();
    decoder.close();
    decoder.buffer(b"too late");
    assert_eq!(decoder.buffered(), 0, "nobody would ever take it");
}

#[test]
fn a_request_that_is_put_back_is_returned_with_all_its_bytes() {
    for ahead in ["", "GET"] {
        let bytes = request("", "{}") + ahead;
        for cut in 0..bytes.len() - ahead.len() {
            let (config, mut decoder) = (config(), RequestDecoder::default());
            let (early, late) = bytes.as_bytes().split_at(cut);
            assert_eq!(decoder.decode(&config, early), Decoded::Pending);
            let Decoded::Request(request) = decoder.decode(&config, late) else {
                panic!("it is whole")
            };
            decoder.put_back(request);
            assert_eq!(decoder.close(), bytes.as_bytes(), "cut at {cut}");
        }
    }
}

#[test]
fn what_waits_behind_a_request_stays_in_its_order() {
    let (config, mut decoder) = (config(), RequestDecoder::default());
    let requests: Vec<String> = (0..60).map(|at| request("", &"x".repeat(at))).collect();
    let mut rest = requests.concat().into_bytes();
    let all = rest.len();
    let mut given = 0;
    for (at, wanted) in requests.iter().enumerate() {
        // More arrives while most of the earlier bytes are unread, so the consumed part is dropped at times.
        let piece: Vec<u8> = rest.drain(..rest.len().min(97)).collect();
        given += piece.len();
        decoder.buffer(&piece);
        if at % 7 == 0
            && let Decoded::Request(request) = decoder.decode(&config, b"")
        {
            decoder.put_back(request);
        }
        let result = match decoder.decode(&config, b"") {
            Decoded::Pending => {
                given += rest.len();
                decoder.decode(&config, &std::mem::take(&mut rest)).into_request()
            }
            result => result.into_request(),
        };
        assert_eq!(result, wanted.split_once("\r\n\r\n").map(|(_, body)| body.as_bytes().to_vec()));
        decoder.finish();
        let consumed: usize = requests[..=at].iter().map(String::len).sum();
        assert_eq!(decoder.buffered(), given - consumed);
    }
    assert_eq!((given, decoder.buffered()), (all, 0));
}

/// The body of what was decoded.
trait IntoRequest {
    fn into_request(self) -> Option<Vec<u8>>;
}

impl IntoRequest for Decoded<'_> {
    fn into_request(self) -> Option<Vec<u8>> {
        match self {
            Decoded::Request(request) => Some(request.body().to_vec()),
            Decoded::Pending | Decoded::Unsupported => None,
        }
    }
}

#[test]
fn after_the_end_nothing_is_a_request() {
    let (config, mut decoder) = (config(), RequestDecoder::default());
    assert_eq!(decoder.close(), b"");
    decoder.finish();
    assert_eq!(decoder.decode(&config, request("", "{}").as_bytes()), Decoded::Pending);
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

/// A head like the one before is compared, not parsed; the result must be that of parsing.
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
            // By a decoder with an empty cache.
            let alone = feed([&text[..]]);
            at += text.len();
            expected.requests.extend(alone.requests);
            expected.unsupported = alone.unsupported;
            if alone.unsupported || !alone.rest.is_empty() {
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
        if !expected.unsupported && !expected.rest.is_empty() {
            // A changed length moves the end of the last request, so what follows it is not compared.
            seen.requests.truncate(expected.requests.len());
            (seen.rest, seen.unsupported) = (expected.rest.clone(), false);
        }
        prop_assert_eq!(seen, expected);
        Ok(())
    });
}

/// A connection that changes its path from one request to the next.
#[test]
fn each_request_has_its_own_path() {
    let (config, mut decoder) = (config(), RequestDecoder::default());
    for (path, at) in
        [("/v1/other", 1), ("/v1/chat/completions", 0), ("/v1/other", 1), ("/v1/other", 1)]
    {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        let Decoded::Request(request) = decoder.decode(&config, request.as_bytes()) else {
            panic!("a request")
        };
        assert_eq!(request.path(), at, "{path}");
        decoder.finish();
    }
}
