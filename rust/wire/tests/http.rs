//! Response heads and chunked bodies against slow decoders.

use penstock_testing::{naive, property, show};
use penstock_wire::http::limits::{CHUNK_EXTENSION, RESPONSE_HEAD, RESPONSE_HEADERS, TRAILERS};
use penstock_wire::http::{
    AnswerHead, BodyDecoder, BodyEnd, CHUNK_SIZE_LINE, ChunkedDecoder, ContentType, DateText,
    Framing, FramingError, HeadError, LAST_CHUNK, ResponseHead, ResponseHeadDecoder, RetryAfter,
    chunk_size, write_answer_head, write_request_head,
};
use proptest::prelude::*;

/// Feeds the pieces: the head, and how many bytes of all of them belong to it.
fn read(pieces: &[&[u8]]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    let mut reader = ResponseHeadDecoder::default();
    let mut before = 0;
    for piece in pieces {
        if let Some((head, used)) = reader.feed(piece)? {
            assert!(used <= piece.len(), "more than the piece has");
            return Ok(Some((head, before + used)));
        }
        before += piece.len();
    }
    Ok(None)
}

const PLAIN: ResponseHead = ResponseHead {
    status: 200,
    framing: Framing::UntilClose,
    content_type: ContentType::Other,
    keep_alive: false,
    retry_after: None,
};

fn good() -> Vec<(String, ResponseHead)> {
    let text = |text: &str| text.replace('\n', "\r\n");
    vec![
        (text("HTTP/1.1 200 OK\n\n"), PLAIN),
        (text("HTTP/1.1 200\n\n"), PLAIN),
        (text("HTTP/1.1 200 \n\n"), PLAIN),
        (text("HTTP/1.1 200 Alles gut\n\n"), PLAIN),
        (
            text("HTTP/1.1 200 OK\nContent-Length: 12\nContent-Type: application/json\n\n"),
            ResponseHead {
                framing: Framing::Length(12),
                content_type: ContentType::Json,
                keep_alive: true,
                ..PLAIN
            },
        ),
        (
            text(
                "HTTP/1.1 200 OK\ncontent-length:0012  \ncontent-type:text/event-stream;charset=utf-8\nconnection: close\n\n",
            ),
            ResponseHead {
                framing: Framing::Length(12),
                content_type: ContentType::EventStream,
                ..PLAIN
            },
        ),
        (
            text(
                "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\nContent-Type: Text/Event-Stream ; x=y\n\n",
            ),
            ResponseHead {
                framing: Framing::Chunked,
                content_type: ContentType::EventStream,
                keep_alive: true,
                ..PLAIN
            },
        ),
        // Equal lengths said twice are one length (RFC 9112 §6.3).
        (
            text("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\n"),
            ResponseHead { framing: Framing::Length(5), keep_alive: true, ..PLAIN },
        ),
        (
            text("HTTP/1.0 200 OK\nContent-Length: 5\n\n"),
            ResponseHead { framing: Framing::Length(5), ..PLAIN },
        ),
        (
            text("HTTP/1.0 200 OK\nContent-Length: 5\nConnection: Keep-Alive\n\n"),
            ResponseHead { framing: Framing::Length(5), keep_alive: true, ..PLAIN },
        ),
        (
            text("HTTP/1.1 200 OK\nContent-Length: 5\nConnection: upgrade , CLOSE\n\n"),
            ResponseHead { framing: Framing::Length(5), ..PLAIN },
        ),
        (
            text("HTTP/1.1 204 No Content\n\n"),
            ResponseHead { status: 204, framing: Framing::Length(0), keep_alive: true, ..PLAIN },
        ),
        (
            text("HTTP/1.1 304 Not Modified\nContent-Length: 77\n\n"),
            ResponseHead { status: 304, framing: Framing::Length(0), keep_alive: false, ..PLAIN },
        ),
        (
            text("HTTP/1.1 204 No Content\nContent-Length: 0\n\n"),
            ResponseHead { status: 204, framing: Framing::Length(0), keep_alive: true, ..PLAIN },
        ),
        (
            text("HTTP/1.1 204 No Content\nContent-Length: 5\n\n"),
            ResponseHead { status: 204, framing: Framing::Length(0), keep_alive: false, ..PLAIN },
        ),
        (
            text("HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n"),
            ResponseHead { status: 204, framing: Framing::Length(0), keep_alive: false, ..PLAIN },
        ),
        (
            text(
                "HTTP/1.1 429 Too Many\nRetry-After: 17\nContent-Length: 1\ncontent-type: application/problem+json\n\n",
            ),
            ResponseHead {
                status: 429,
                framing: Framing::Length(1),
                content_type: ContentType::Json,
                keep_alive: true,
                retry_after: Some(RetryAfter::Seconds(17)),
            },
        ),
        (
            text(
                "HTTP/1.1 503 No\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\nContent-Length: 1\nContent-Encoding: identity\n\n",
            ),
            ResponseHead {
                status: 503,
                framing: Framing::Length(1),
                keep_alive: true,
                retry_after: Some(RetryAfter::At(946_684_799)),
                ..PLAIN
            },
        ),
        // Informational responses before the head are skipped.
        (
            text(
                "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </x>\n\nHTTP/1.1 200 OK\nContent-Length: 3\n\n",
            ),
            ResponseHead { framing: Framing::Length(3), keep_alive: true, ..PLAIN },
        ),
        // Bytes above 0x7f in a value that nobody reads.
        (text("HTTP/1.1 200 OK\nX-Name: h\u{e9}llo\n\n"), PLAIN),
    ]
}

fn bad() -> Vec<(Vec<u8>, HeadError)> {
    let text = |text: &str| text.replace('\n', "\r\n").into_bytes();
    let mut long = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    long.resize(RESPONSE_HEAD - 3, b'y');
    let exact = [&long[..], b"\r\n\r\n"].concat();
    assert_eq!(exact.len(), RESPONSE_HEAD + 1);
    vec![
        (text("HTP/1.1 200 OK\n\n"), HeadError::Malformed),
        (text("HTTP/2 200 OK\n\n"), HeadError::Malformed),
        (text("<html>502</html>\n\n"), HeadError::Malformed),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(), HeadError::Malformed),
        (text("HTTP/1.1 2x0 OK\n\n"), HeadError::Malformed),
        (text("HTTP/1.1 200 OK\nno colon\n\n"), HeadError::Malformed),
        (text("HTTP/1.1 200 OK\nContent-Length : 5\n\n"), HeadError::Malformed),
        (text("HTTP/1.1 200 OK\nA: b\n folded\n\n"), HeadError::Malformed),
        (text("HTTP/1.1 200 OK\nA: b\0c\n\n"), HeadError::Malformed),
        (text("HTTP/1.1 200 OK\n: b\n\n"), HeadError::Malformed),
        (
            text(&format!("HTTP/1.1 200 OK\n{}\n", "a: b\n".repeat(RESPONSE_HEADERS + 1))),
            HeadError::Malformed,
        ),
        (
            text("HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n"),
            HeadError::Framing,
        ),
        (
            text("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 5\n\n"),
            HeadError::Framing,
        ),
        (
            text("HTTP/1.1 204 OK\nTransfer-Encoding: chunked\nContent-Length: 5\n\n"),
            HeadError::Framing,
        ),
        (text("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length: 5, 5\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length: +5\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length: -5\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length: 0x5\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length: 5 5\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length:\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nContent-Length: 18446744073709551616\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n"), HeadError::Framing),
        (text("HTTP/1.1 200 OK\nTransfer-Encoding: xchunked\n\n"), HeadError::Framing),
        (
            text("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n"),
            HeadError::Framing,
        ),
        (text("HTTP/1.1 200 OK\nTransfer-Encoding:\n\n"), HeadError::Framing),
        (
            text("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 5\n\n"),
            HeadError::Encoded,
        ),
        (exact, HeadError::TooLarge),
    ]
}

#[test]
fn good_heads_at_every_split_with_bytes_of_the_body_behind() {
    for (text, expected) in good() {
        for behind in ["", "x", "data: x\n\nHTTP/1.1 500 No\r\n\r\n"] {
            let wire = [text.as_bytes(), behind.as_bytes()].concat();
            let expected = Ok(Some((expected, text.len())));
            assert_eq!(read(&[&wire]), expected, "{text}");
            for at in 0..=wire.len() {
                let (first, second) = wire.split_at(at);
                assert_eq!(read(&[first, second]), expected, "{text} split at {at}");
            }
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(read(&bytes), expected, "{text} byte by byte");
        }
        for cut in 0..text.len() {
            assert_eq!(read(&[&text.as_bytes()[..cut]]), Ok(None), "{text} cut at {cut}");
        }
    }
}

#[test]
fn bad_heads_at_every_split() {
    for (wire, expected) in bad() {
        assert_eq!(read(&[&wire]), Err(expected), "{}", show(&wire));
        if wire.len() > 2_000 {
            // In pieces: byte by byte would read a head of this size over and over.
            for size in [1_000, RESPONSE_HEAD - 1, RESPONSE_HEAD] {
                let pieces: Vec<&[u8]> = wire.chunks(size).collect();
                assert_eq!(read(&pieces), Err(expected), "{}", show(&wire));
            }
            continue;
        }
        for at in 0..=wire.len() {
            let (first, second) = wire.split_at(at);
            assert_eq!(read(&[first, second]), Err(expected), "{} at {at}", show(&wire));
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(&bytes), Err(expected), "{} byte by byte", show(&wire));
    }
}

#[test]
fn a_head_may_be_as_large_as_the_limit() {
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.resize(RESPONSE_HEAD - 4, b'y');
    head.extend_from_slice(b"\r\n\r\n");
    assert_eq!(read(&[&head]), Ok(Some((PLAIN, RESPONSE_HEAD))));
    let (first, second) = head.split_at(RESPONSE_HEAD - 1);
    assert_eq!(read(&[first, second]), Ok(Some((PLAIN, RESPONSE_HEAD))));
    // An endless head is refused at the limit, not when it ends.
    let mut reader = ResponseHeadDecoder::default();
    let mut fed = 0;
    let error = loop {
        match reader.feed(&[b'y'; 512]) {
            Ok(found) => assert_eq!(found, None),
            Err(error) => break error,
        }
        if fed == 0 {
            reader = ResponseHeadDecoder::default();
            assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\nx: "), Ok(None));
        }
        fed += 512;
        assert!(fed <= RESPONSE_HEAD + 512);
    };
    assert!(matches!(error, HeadError::TooLarge | HeadError::Malformed));
}

#[test]
fn any_head_reads_the_same_in_any_pieces() {
    let name = prop::sample::select(vec![
        "Content-Length",
        "transfer-encoding",
        "CONNECTION",
        "content-type",
        "Retry-After",
        "X-Other",
        "content-encoding",
    ]);
    let value = prop::sample::select(vec![
        "5",
        "6",
        "chunked",
        "close",
        "keep-alive",
        "text/event-stream",
        "application/json; x=y",
        "identity",
        "gzip",
        "",
        "\u{e9}",
    ]);
    let status = prop::sample::select(vec![
        "100 Continue",
        "103",
        "200 OK",
        "204 No",
        "404 No",
        "500 No",
        "20 x",
        "099 x",
    ]);
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.0", "HTTP/1.2"]);
    let head = (version, status, prop::collection::vec((name, value), 0..4)).prop_map(
        |(version, status, lines)| {
            let lines: String =
                lines.iter().map(|(name, value)| [*name, ": ", *value, "\r\n"].concat()).collect();
            format!("{version} {status}\r\n{lines}\r\n")
        },
    );
    let wire = (prop::collection::vec(head, 1..3), "[a-z]{0,4}")
        .prop_map(|(heads, rest)| heads.concat() + &rest);
    property(5_000, &(wire, any::<usize>(), any::<usize>()), |(wire, one, two)| {
        let wire = wire.as_bytes();
        let whole = read(&[wire]);
        let (mut one, mut two) = (one % (wire.len() + 1), two % (wire.len() + 1));
        if one > two {
            std::mem::swap(&mut one, &mut two);
        }
        prop_assert_eq!(
            read(&[&wire[..one], &wire[one..two], &wire[two..]]),
            whole,
            "{}",
            show(wire)
        );
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        prop_assert_eq!(read(&bytes), whole, "{}", show(wire));
        // The slow reader agrees on where a good head ends and what its status is.
        if let Ok(Some((head, used))) = whole {
            let mut start = 0;
            let slow = loop {
                let slow = naive::head(&wire[start..]).expect("a head");
                start += slow.length;
                if !(100..200).contains(&slow.status) {
                    break slow;
                }
            };
            prop_assert_eq!((head.status, used), (slow.status, start));
            if head.framing == Framing::Chunked {
                prop_assert_eq!(slow.get("content-length"), None);
            }
        }
        Ok(())
    });
}

/// Decodes in pieces: the data, and how many bytes the body took if it is complete.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), FramingError> {
    let mut decoder = ChunkedDecoder::default();
    let mut data = Vec::new();
    let mut total = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoder.is_done() {
            let (used, found) = decoder.next(rest)?;
            assert!(used > 0 && used <= rest.len(), "no progress");
            data.extend_from_slice(found);
            rest = &rest[used..];
            total += used;
        }
    }
    Ok((data, decoder.is_done().then_some(total)))
}

#[test]
fn good_chunked_bodies_at_every_split() {
    let cases: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\nB\r\n, the world\r\n0\r\n\r\n", "hello, the world"),
        ("a\r\n0\r\n\r\n12345\r\n0\r\n\r\n", "0\r\n\r\n12345"),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;name=value;x=\"y\"\r\nhello\r\n0;last\r\n\r\n", "hello"),
        ("5 \t\r\nhello\r\n0 \r\n\r\n", "hello"),
        ("1\r\nx\r\n0\r\nTrailer: value\r\nAnother: one\r\n\r\n", "x"),
    ];
    for &(wire, data) in cases {
        for behind in ["", "HTTP/1.1 200 OK\r\n"] {
            let text = format!("{wire}{behind}");
            let text = text.as_bytes();
            let expected = Ok((data.as_bytes().to_vec(), Some(wire.len())));
            assert_eq!(naive::dechunk(text), expected.clone().ok(), "the oracle on {wire:?}");
            assert_eq!(decode(&[text]), expected, "{wire:?}");
            for at in 0..=text.len() {
                let (first, second) = text.split_at(at);
                assert_eq!(decode(&[first, second]), expected, "{wire:?} at {at}");
            }
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(decode(&bytes), expected, "{wire:?} byte by byte");
        }
        for cut in 0..wire.len() {
            let (part, end) = decode(&[&wire.as_bytes()[..cut]]).expect("a part of it");
            assert!(end.is_none() && data.as_bytes().starts_with(&part), "{wire:?} cut at {cut}");
        }
    }
}

#[test]
fn bad_chunked_bodies_at_every_split() {
    use FramingError::{DataEnd, ExtensionTooLong, Size, SizeTooLarge, Trailers};
    let long_extension = format!("1;{}\r\nx\r\n", "e".repeat(CHUNK_EXTENSION + 1));
    let long_trailer = format!("0\r\n{}\r\n", "t".repeat(TRAILERS + 1));
    let many_trailers = format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS / 4));
    let cases: &[(&str, FramingError)] = &[
        ("\r\n", Size),
        ("x\r\n", Size),
        ("-1\r\n", Size),
        ("+1\r\nx\r\n", Size),
        ("0x1\r\nx\r\n", Size),
        (" 1\r\nx\r\n", Size),
        (";x\r\n", Size),
        ("1\nx\r\n", Size),
        ("1\rxx", Size),
        ("1;a\nb\r\nx\r\n", Size),
        ("1\r\r\nx\r\n", Size),
        ("10000000000000000\r\n", SizeTooLarge),
        ("00000000000000001\r\nx\r\n", SizeTooLarge),
        ("1\r\nxx\r\n", DataEnd),
        ("1\r\nx\n", DataEnd),
        ("1\r\nx\rx", DataEnd),
        ("0\r\na: b\n\r\n", Trailers),
        ("0\r\na: b\rc", Trailers),
        ("0\r\n\n", Trailers),
        ("0\r\n\rx", Trailers),
        (&long_extension, ExtensionTooLong),
        (&long_trailer, Trailers),
        (&many_trailers, Trailers),
    ];
    for &(wire, error) in cases {
        let wire = wire.as_bytes();
        assert_eq!(decode(&[wire]).err(), Some(error), "{}", show(wire));
        for at in 0..=wire.len().min(100) {
            let (first, second) = wire.split_at(at);
            assert_eq!(decode(&[first, second]).err(), Some(error), "{} at {at}", show(wire));
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(decode(&bytes).err(), Some(error), "{} byte by byte", show(wire));
    }
}

fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => prop::collection::vec(prop::sample::select(b"ab\r\n0;".to_vec()), 1..20).prop_map(|data| {
            let mut wire = format!("{:X}\r\n", data.len()).into_bytes();
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
            wire
        }),
        1 => Just(b"0\r\n\r\n".to_vec()),
        1 => Just(b"2;x\r\nab\r\n".to_vec()),
        1 => prop::collection::vec(prop::sample::select(b"0123aF\r\n; x".to_vec()), 1..4),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

#[test]
fn any_bytes_in_any_pieces_decode_as_the_slow_decoder_does() {
    property(30_000, &(chunked(), any::<usize>(), any::<bool>()), |(wire, at, end)| {
        let wire = if end { [&wire[..], LAST_CHUNK].concat() } else { wire };
        let (first, second) = wire.split_at(at % (wire.len() + 1));
        let whole = decode(&[&wire]);
        prop_assert_eq!(&decode(&[first, second]), &whole, "{}", show(&wire));
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        prop_assert_eq!(&decode(&bytes), &whole, "{}", show(&wire));
        // The slow decoder looks only at whole lines, so of a broken body it may see less.
        let slow = naive::dechunk(&wire);
        match (&whole, slow) {
            (Ok(fast), Some(slow)) => prop_assert_eq!(fast, &slow, "{}", show(&wire)),
            (Ok(_), None) => prop_assert!(false, "only the slow one refuses {}", show(&wire)),
            (Err(_), Some((_, Some(_)))) => {
                // Stricter on purpose: bare CR or LF in an extension or a trailer.
                let bare = wire.windows(2).any(|pair| (pair[0] == b'\r') != (pair[1] == b'\n'));
                prop_assert!(bare, "only the fast one refuses {}", show(&wire));
            }
            (Err(_), _) => {}
        }
        Ok(())
    });
}

#[test]
fn chunks_that_are_written_read_back() {
    property(2_000, &prop::collection::vec(1usize..70_000, 0..4), |sizes| {
        let mut wire = Vec::new();
        for &size in &sizes {
            wire.extend_from_slice(chunk_size(size, &mut [0; CHUNK_SIZE_LINE]));
            wire.resize(wire.len() + size, b'x');
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(LAST_CHUNK);
        let (data, end) = decode(&[&wire]).expect("well-formed");
        prop_assert_eq!((data.len(), end), (sizes.iter().sum(), Some(wire.len())));
        Ok(())
    });
    for (size, text) in [
        (1, "1\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (255, "ff\r\n"),
        (4096, "1000\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut line = [0; CHUNK_SIZE_LINE];
        assert_eq!(chunk_size(size, &mut line), text.as_bytes());
    }
}

#[test]
fn the_end_of_a_connection_means_what_the_framing_says() {
    let mut body = BodyDecoder::new(Framing::Length(5));
    assert_eq!(body.at_eof(), BodyEnd::Truncated);
    assert_eq!(body.next(b"abc"), Ok((3, &b"abc"[..])));
    assert_eq!(body.at_eof(), BodyEnd::Truncated);
    // Bytes behind the end are not taken.
    assert_eq!(body.next(b"defgh"), Ok((2, &b"de"[..])));
    assert!(body.is_done());
    assert_eq!(body.at_eof(), BodyEnd::Complete);

    assert!(BodyDecoder::new(Framing::Length(0)).is_done());

    let mut body = BodyDecoder::new(Framing::UntilClose);
    assert_eq!(body.next(b"abc"), Ok((3, &b"abc"[..])));
    assert!(!body.is_done());
    assert_eq!(body.at_eof(), BodyEnd::Complete);

    let mut body = BodyDecoder::new(Framing::Chunked);
    assert_eq!(body.next(b"0\r\n\r"), Ok((4, &b""[..])));
    assert_eq!(body.at_eof(), BodyEnd::Truncated);
    assert_eq!(body.next(b"\nHTTP"), Ok((1, &b""[..])));
    assert_eq!(body.at_eof(), BodyEnd::Complete);
}

#[test]
fn heads_that_are_written_read_back() {
    let mut out = Vec::new();
    write_request_head(
        ["/v1", "/chat/completions"],
        b"host: a\r\nauthorization: Bearer k\r\n",
        "id-1",
        true,
        7,
        &mut out,
    );
    assert_eq!(
        String::from_utf8_lossy(&out),
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\naccept: text/event-stream\r\n\
         accept-encoding: identity\r\ncontent-type: application/json\r\nx-request-id: id-1\r\ncontent-length: 7\r\n\r\n"
    );
    let head = AnswerHead {
        status: 429,
        content_type: "application/json",
        framing: Framing::Length(2),
        keep_alive: true,
        http10: false,
    };
    let mut date = DateText::default();
    date.set(784_111_777);
    let written = |head: &AnswerHead| {
        let mut out = Vec::new();
        let more = |lines: &mut Vec<u8>| lines.extend_from_slice(b"retry-after: 1\r\n");
        write_answer_head(head, &date, more, &mut out);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(
        written(&head),
        "HTTP/1.1 429 Too Many Requests\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-type: application/json\r\n\
         content-length: 2\r\nretry-after: 1\r\n\r\n"
    );
    let stream = AnswerHead { framing: Framing::Chunked, status: 200, ..head };
    assert!(written(&stream).contains("\r\ntransfer-encoding: chunked\r\n"));
    assert!(!written(&stream).contains("connection:"));
    for (framing, keep_alive, http10, connection) in [
        (Framing::Length(2), false, false, Some("close")),
        (Framing::Length(2), true, true, Some("keep-alive")),
        (Framing::UntilClose, true, true, Some("close")),
    ] {
        let text = written(&AnswerHead { framing, keep_alive, http10, ..head });
        let found = naive::head(text.as_bytes()).expect("a head");
        assert_eq!(found.get("connection"), connection, "{text}");
    }
}
