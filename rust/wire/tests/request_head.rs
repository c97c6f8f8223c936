//! Request heads that are supported, and heads that must not be.

use std::sync::LazyLock;

use penstock_testing::property;
use penstock_wire::http::{RequestHead, RequestLines, head_end};
use proptest::prelude::*;

static LINES: LazyLock<RequestLines> =
    LazyLock::new(|| RequestLines::new(["/v1/chat/completions"]));

const PLAIN: &str = "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n";

type Visited = Vec<(String, Vec<u8>)>;

/// The head and the headers that were visited, if it is supported.
fn parse(head: &[u8]) -> Option<(RequestHead<'_>, Visited)> {
    let mut seen = Vec::new();
    let parsed = RequestHead::parse(&LINES, head, |name, value| {
        seen.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    })?;
    Some((parsed, seen))
}

fn with(lines: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n")
}

#[test]
fn a_plain_request() {
    let (parsed, seen) = parse(PLAIN.as_bytes()).expect("it is supported");
    assert_eq!((parsed.body, seen), (12, vec![]));
}

#[test]
fn what_sdks_send() {
    let head = with(
        "Host: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\
         Accept: application/json\r\ncontent-type:application/json; charset=utf-8\r\n\
         User-Agent: OpenAI/Python 2.1.0\r\nX-Stainless-Retry-Count: 0\r\n\
         Authorization: Bearer none\r\nX-Request-Id:  abc \r\nx-request-id: def\r\n\
         Content-Length: 000123\r\n",
    );
    let (parsed, seen) = parse(head.as_bytes()).expect("it is supported");
    assert_eq!(parsed.body, 123);
    let ids: Vec<&[u8]> = seen
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-request-id"))
        .map(|(_, value)| value.as_slice())
        .collect();
    assert_eq!(ids, [b"abc", b"def"], "in their order, without the spaces around them");
    assert_eq!(seen.len(), 7);
}

#[test]
fn hosts() {
    for host in ["a", "a.b-c_d", "127.0.0.1:8080", "a:", "[::1]", "[::ffff:1.2.3.4]:80"] {
        let head = with(&format!("Host: {host}\r\nContent-Length: 1\r\n"));
        assert!(parse(head.as_bytes()).is_some(), "{host}");
    }
}

#[test]
fn what_is_unsupported() {
    let rest = "Host: a\r\nContent-Length: 1\r\n";
    let mut heads: Vec<Vec<u8>> = [
        "Content-Length: 1\r\n",
        "Host: a\r\n",
        "Host: \r\nContent-Length: 1\r\n",
        "Host: a b\r\nContent-Length: 1\r\n",
        "Host: a/b\r\nContent-Length: 1\r\n",
        "Host: u@a\r\nContent-Length: 1\r\n",
        "Host: a:b\r\nContent-Length: 1\r\n",
        "Host: :80\r\nContent-Length: 1\r\n",
        "Host: a:1:2\r\nContent-Length: 1\r\n",
        "Host: [::1\r\nContent-Length: 1\r\n",
        "Host: [::1]x\r\nContent-Length: 1\r\n",
        "Host: [::g]\r\nContent-Length: 1\r\n",
        "Host: a\r\nHost: a\r\nContent-Length: 1\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n",
        "Host: a\r\nContent-Length: 1, 1\r\n",
        "Host: a\r\nContent-Length: +1\r\n",
        "Host: a\r\nContent-Length: -1\r\n",
        "Host: a\r\nContent-Length: 0x1\r\n",
        "Host: a\r\nContent-Length: \r\n",
        "Host: a\r\nContent-Length: 1111111111111111\r\n",
        "Host: a\r\nContent-Length : 1\r\n",
        "Host: a\nContent-Length: 1\r\n",
        "Host: a\r\nContent-Length: 1\r\n folded: x\r\n",
        "Host: a\r\nContent-Length: 1\r\nX: a\r\n\tb\r\n",
        "Host: a\r\nContent-Length: 1\r\nX: a\0b\r\n",
        "Host: a\r\nContent-Length: 1\r\nX: a\rb\r\n",
        "Host: a\r\nContent-Length: 1\r\nX: \x7f\r\n",
        "Host: a\r\nContent-Length: 1\r\n: x\r\n",
        "Host: a\r\nContent-Length: 1\r\nX\r\n",
        "Host: a\r\nContent-Length: 1\r\nX y: z\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Type: text/plain\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Type: \r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Type: application/json\r\nContent-Type: application/json\r\n",
        "Host: a\r\nContent-Length: 1\r\nConnection: close\r\n",
        "Host: a\r\nContent-Length: 1\r\nConnection: keep-alive, x-a\r\n",
        "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nTransfer-Encoding: chunked\r\n",
        "Host: a\r\nContent-Length: 1\r\ntransfer-ENCODING: identity\r\n",
        "Host: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n",
        "Host: a\r\nContent-Length: 1\r\nUpgrade: h2c\r\n",
        "Host: a\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n",
        "Host: a\r\nContent-Length: 1\r\nTE: trailers\r\n",
        "Host: a\r\nContent-Length: 1\r\nTrailer: x\r\n",
        "Host: a\r\nContent-Length: 1\r\norigin: http://a\r\n",
        "Host: a\r\nContent-Length: 1\r\nSec-Fetch-Site: none\r\n",
    ]
    .map(|lines| with(lines).into_bytes())
    .into();
    for line in [
        "GET /v1/chat/completions HTTP/1.1",
        "post /v1/chat/completions HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.0",
        "POST /v1/chat/completions HTTP/2.0",
        "POST /v1/chat/completions  HTTP/1.1",
        "POST /v1/chat/completions?x=1 HTTP/1.1",
        "POST /v1/chat/completions/ HTTP/1.1",
        "POST http://a/v1/chat/completions HTTP/1.1",
        "POST /v1/models HTTP/1.1",
        "\r\nPOST /v1/chat/completions HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.1\r",
        "POST /v1/chat/completions",
        "",
    ] {
        heads.push(format!("{line}\r\n{rest}\r\n").into_bytes());
    }
    heads.push(with(&format!("{rest}{}", "x: y\r\n".repeat(63))).into_bytes());
    heads.push([with(rest).trim_end().as_bytes(), b"\r\nX: \xe9\r\n\r\n"].concat());
    for head in heads {
        assert_eq!(parse(&head), None, "{}", String::from_utf8_lossy(&head));
    }
}

/// Nothing beside the head may be taken for a part of it.
#[test]
fn the_head_alone() {
    let more = format!("{PLAIN}{{}}");
    assert_eq!(parse(more.as_bytes()), None);
    for cut in 0..PLAIN.len() {
        assert_eq!(parse(&PLAIN.as_bytes()[..cut]), None);
    }
}

#[test]
fn a_head_is_found_wherever_it_is_cut() {
    let bytes = format!("{PLAIN}{{\"a\": 1}}\r\n\r\n");
    let end = PLAIN.len();
    for cut in 0..bytes.len() {
        let found = head_end(&bytes.as_bytes()[..cut], 0);
        assert_eq!(found, (cut >= end).then_some(end));
        if found.is_none() {
            assert_eq!(head_end(bytes.as_bytes(), cut), Some(end), "searched to {cut}");
        }
    }
}

#[test]
fn the_first_bytes_tell_whether_a_line_may_match() {
    for cut in 0..PLAIN.len() {
        assert!(LINES.may_match(&PLAIN.as_bytes()[..cut]));
    }
    let line = b"POST /v1/chat/completions HTTP/1.1\r\n";
    for at in 0..line.len() {
        let mut other = line.to_vec();
        other[at] ^= 1;
        assert!(!LINES.may_match(&other));
        assert!(LINES.may_match(&other[..at]));
        assert!(!LINES.may_match(&other[..=at]));
    }
}

#[test]
fn each_of_several_paths_has_its_index() {
    let lines = RequestLines::new(["/v1/a", "/v1/ab", "/v1/b"]);
    let head = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    for (at, path) in ["/v1/a", "/v1/ab", "/v1/b"].into_iter().enumerate() {
        let head = head(path);
        let parsed =
            RequestHead::parse(&lines, head.as_bytes(), |_, _| {}).expect("it is supported");
        assert_eq!(parsed.path, at, "{path}");
        assert!((0..head.len()).all(|cut| lines.may_match(&head.as_bytes()[..cut])));
    }
    for path in ["/v1/", "/v1/abc", "/v1/c", "/v1/b?x", "/V1/a", ""] {
        let head = head(path);
        assert!(!lines.may_match(head.as_bytes()), "{path}");
        assert_eq!(RequestHead::parse(&lines, head.as_bytes(), |_, _| {}), None, "{path}");
    }
}

/// The same verdict by splitting lines.
fn naive(head: &str) -> Option<u64> {
    let lines = head.strip_suffix("\r\n\r\n")?;
    let (first, lines) = lines.split_once("\r\n").unwrap_or((lines, ""));
    if first != "POST /v1/chat/completions HTTP/1.1" {
        return None;
    }
    let is_token = |name: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        !name.is_empty() && name.chars().all(allowed)
    };
    let is_text = |value: &str| value.chars().all(|c| c == '\t' || (' '..='~').contains(&c));
    let mut fields = Vec::new();
    for line in lines.split("\r\n").filter(|_| !lines.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if !is_token(name) || !is_text(value) {
            return None;
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])));
    }
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(own, _)| own == name).map(|(_, value)| *value).collect()
    };
    let [length] = all("content-length")[..] else { return None };
    let [host] = all("host")[..] else { return None };
    let is_json = match all("content-type")[..] {
        [] => true,
        [kind] => kind.split(';').next()?.trim().eq_ignore_ascii_case("application/json"),
        _ => false,
    };
    let stays = all("connection").iter().all(|value| value.eq_ignore_ascii_case("keep-alive"));
    let plain = [
        "proxy-connection",
        "transfer-encoding",
        "expect",
        "upgrade",
        "te",
        "origin",
        "sec-fetch-site",
    ]
    .iter()
    .all(|name| all(name).is_empty());
    let digits =
        !length.is_empty() && length.len() <= 15 && length.bytes().all(|b| b.is_ascii_digit());
    let is_host = |host: &str| {
        let name = host.split(':').next().unwrap_or_default();
        let port = host.strip_prefix(name).unwrap_or_default().trim_start_matches(':');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        !name.is_empty() && name.chars().all(plain) && port.chars().all(|c| c.is_ascii_digit())
    };
    (is_host(host) && is_json && stays && plain && digits).then(|| length.parse().ok()).flatten()
}

#[test]
fn the_same_verdict_as_by_splitting_lines() {
    let name = prop::sample::select(vec![
        "Host",
        "host",
        "Content-Length",
        "content-length",
        "Content-Type",
        "Connection",
        "Expect",
        "Origin",
        "Sec-Fetch-Site",
        "Transfer-Encoding",
        "X",
        "x y",
        "",
        "\tX",
        "TE",
        "x-request-id",
    ]);
    let value = prop::sample::select(vec![
        "a",
        "",
        "12",
        " 7 ",
        "7 7",
        "application/json",
        "application/json;x",
        "text/plain",
        "keep-alive",
        "close",
        "chunked",
        "\t1\t",
        "a\nb",
        "a\rb",
        "\u{1}",
        "1\r\n 2",
    ]);
    let line = (name, value).prop_map(|(name, value)| format!("{name}:{value}\r\n"));
    let lines = prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat());
    let known = prop::sample::select(vec!["", "Host: a\r\n", "Host: a\r\nContent-Length: 9\r\n"]);
    property(4000, &(known, lines), |(known, lines)| {
        let head = with(&format!("{known}{lines}"));
        // What looks like the end of a head is one.
        let end = head_end(head.as_bytes(), 0).expect("it has an end");
        let head = &head[..end];
        let got = RequestHead::parse(&LINES, head.as_bytes(), |_, _| {}).map(|parsed| parsed.body);
        prop_assert_eq!(got, naive(head), "{:?}", head);
        Ok(())
    });
}

/// What is supported, httparse parses alike: any byte anywhere in a head.
#[test]
fn the_same_headers_as_httparse() {
    let head = with("Host: a\r\nX-Some: thing or\tother\r\ncontent-length: 12\r\nx:\r\n");
    let mut supported = 0;
    for at in 0..head.len() {
        for byte in 0..=255 {
            let mut other = head.clone().into_bytes();
            other[at] = byte;
            if head_end(&other, 0) != Some(other.len()) {
                continue;
            }
            let Some((_, seen)) = parse(&other) else { continue };
            supported += 1;
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut request = httparse::Request::new(&mut headers);
            assert_eq!(request.parse(&other), Ok(httparse::Status::Complete(other.len())));
            let theirs: Visited = request
                .headers
                .iter()
                .filter(|header| {
                    !["host", "content-length"].contains(&&*header.name.to_ascii_lowercase())
                })
                .map(|header| (header.name.to_owned(), header.value.trim_ascii().to_vec()))
                .collect();
            assert_eq!(seen, theirs, "{:?}", String::from_utf8_lossy(&other));
        }
    }
    assert!(supported > 1000, "{supported}");
}
