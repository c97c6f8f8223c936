//! The SSE scanner against a reader of whole texts.

use std::ops::ControlFlow;

use penstock_testing::{naive, property, show};
use penstock_wire::sse::{SseScanner, TooLong};
use proptest::prelude::*;

type Events = Vec<(Vec<u8>, Vec<u8>)>;

fn scan(pieces: &[&[u8]], limit: usize) -> Result<Events, TooLong> {
    let mut scanner = SseScanner::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        // A copy that goes away with the call: nothing may point into it afterwards.
        let piece = piece.to_vec();
        let flow = scanner.feed(&piece, |event| {
            found.push((event.name.to_vec(), event.data.to_vec()));
            ControlFlow::Continue(())
        })?;
        assert!(flow.is_continue());
    }
    let flow = scanner.finish(|event| {
        found.push((event.name.to_vec(), event.data.to_vec()));
        ControlFlow::Continue(())
    })?;
    assert!(flow.is_continue());
    Ok(found)
}

const BIG: usize = 1 << 20;

/// A text and the data of its events, with the name where it has one.
const CORPUS: &[(&str, &[(&str, &str)])] = &[
    ("", &[]),
    ("\n", &[]),
    ("data: a\n\n", &[("", "a")]),
    ("data: a\r\n\r\n", &[("", "a")]),
    ("data: a\r\r", &[("", "a")]),
    ("data: a\r\n\ndata: b\n\r\ndata: c\r\n\r", &[("", "a"), ("", "b"), ("", "c")]),
    ("data: a\n\r\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
    // Missing last blank line, and missing last line end.
    ("data: a\n", &[("", "a")]),
    ("data: a", &[("", "a")]),
    ("data: a\r", &[("", "a")]),
    ("data: a\n\ndata: [DONE]", &[("", "a"), ("", "[DONE]")]),
    // A BOM at the start only; half a BOM is text.
    ("\u{feff}data: a\n\n", &[("", "a")]),
    ("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &[("", "b")]),
    ("data: a\n\n\u{feff}data: b\n\n", &[("", "a")]),
    ("\u{feff}", &[]),
    ("\u{feff}\n\ndata: a\n\n", &[("", "a")]),
    ("\u{fefe}data: a\n\ndata: b\n\n", &[("", "b")]),
    // One space is taken off, not two, and no tab.
    ("data:a\n\ndata:  a\n\ndata:\ta\n\n", &[("", "a"), ("", " a"), ("", "\ta")]),
    ("data: a: b \n\n", &[("", "a: b ")]),
    // Comments and other fields.
    (":\n\n: ping\n\n:data: x\n\n", &[]),
    (": c\ndata: a\n: c\n\n", &[("", "a")]),
    ("id: 1\nretry: 5\ndata: a\nfoo: bar\nfoo\n\n", &[("", "a")]),
    ("datax: a\n\ndat: a\n\n data: a\n\nDATA: a\n\ndata : a\n\n", &[]),
    // Several lines of one event.
    ("data: a\ndata: b\n\n", &[("", "a\nb")]),
    ("data: a\r\ndata: b\rdata: c\n\n", &[("", "a\nb\nc")]),
    ("data:\ndata:\n\n", &[("", "\n")]),
    ("data: a\n: c\ndata\ndata: b\n\n", &[("", "a\n\nb")]),
    // Empty data is an event; no data is none.
    ("data\n\n", &[("", "")]),
    ("data:\n\n", &[("", "")]),
    ("data: \n\n", &[("", "")]),
    ("data", &[("", "")]),
    ("event: x\n\ndata: a\n\n", &[("", "a")]),
    // Names.
    ("event: x\ndata: a\n\ndata: b\n\n", &[("x", "a"), ("", "b")]),
    ("data: a\nevent:x\n\n", &[("x", "a")]),
    ("event: x\nevent: y\ndata: a\n\n", &[("y", "a")]),
    ("event: x\nevent\ndata: a\n\n", &[("", "a")]),
    ("\n\n\ndata: a\n\n\n\ndata: b\n\n\n", &[("", "a"), ("", "b")]),
    ("data: \u{e9}\u{1f600}\0\u{2028}\n\n", &[("", "\u{e9}\u{1f600}\0\u{2028}")]),
];

fn expected(events: &[(&str, &str)]) -> Events {
    let bytes = |text: &str| text.as_bytes().to_vec();
    events.iter().map(|&(name, data)| (bytes(name), bytes(data))).collect()
}

#[test]
fn a_corpus_of_forms_at_every_split() {
    for &(text, events) in CORPUS {
        let text = text.as_bytes();
        let events = expected(events);
        assert_eq!(naive::events(text), events, "the oracle on {}", show(text));
        assert_eq!(scan(&[text], BIG), Ok(events.clone()), "{}", show(text));
        for at in 0..=text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(scan(&[first, second], BIG), Ok(events.clone()), "{} at {at}", show(text));
            assert_eq!(
                scan(&[first, b"", second], BIG),
                Ok(events.clone()),
                "{} at {at}",
                show(text)
            );
            for again in 0..=second.len() {
                let (second, third) = second.split_at(again);
                let found = scan(&[first, second, third], BIG);
                assert_eq!(found, Ok(events.clone()), "{} at {at} and {again}", show(text));
            }
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(scan(&bytes, BIG), Ok(events), "{} byte by byte", show(text));
    }
}

#[test]
fn broken_byte_order_marks_are_text() {
    for text in [
        &b"\xEFdata: a\n\ndata: b\n\n"[..],
        b"\xEF\xBBdata: a\n\ndata: b\n\n",
        b"\xEF\xEF\xBB\xBFdata: a\n\ndata: b\n\n",
    ] {
        for at in 0..=text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(scan(&[first, second], BIG), Ok(expected(&[("", "b")])), "{at}");
        }
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(vec!["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r"]);
    let line = prop_oneof![
        4 => "[ -~é]{0,9}".prop_map(|text| format!("data: {text}")),
        1 => "[a-c:]{0,3}".prop_map(|text| format!("data:{text}")),
        1 => Just("data".to_owned()),
        1 => "[a-c ]{0,3}".prop_map(|text| format!("event:{text}")),
        1 => "[a-c ]{0,3}".prop_map(|text| format!(":{text}")),
        1 => "(id|retry|dat|datas|event|even| data)(: x)?",
        2 => Just(String::new()),
        1 => "\\PC{0,6}",
    ];
    let lines = prop::collection::vec((line, end), 0..12);
    let raw =
        prop::collection::vec(prop::sample::select(b"data: e\n\r\xEF\xBB\xBF".to_vec()), 0..40);
    let bom = prop::sample::select(vec!["", "", "", "\u{feff}"]);
    prop_oneof![
        4 => (bom, lines, "(data: )?x?").prop_map(|(bom, lines, rest)| {
            let body: String = lines.into_iter().map(|(line, end)| line + end).collect();
            format!("{bom}{body}{rest}").into_bytes()
        }),
        1 => raw,
    ]
}

#[test]
fn any_text_in_any_pieces_is_what_the_slow_reader_reads() {
    let cuts = prop::collection::vec(any::<usize>(), 0..6);
    property(30_000, &(text(), cuts), |(text, cuts)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        prop_assert_eq!(scan(&pieces, BIG), Ok(naive::events(&text)), "{:?}", show(&text));
        Ok(())
    });
}

#[test]
fn whether_a_text_is_too_long_depends_on_no_split() {
    let limit = 5usize..24;
    property(10_000, &(text(), limit, any::<usize>()), |(text, limit, at)| {
        let whole = scan(&[&text], limit);
        let (first, second) = text.split_at(at % (text.len() + 1));
        prop_assert_eq!(&scan(&[first, second], limit), &whole, "{:?}", show(&text));
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(&scan(&bytes, limit), &whole, "{:?}", show(&text));
        if let Ok(events) = whole {
            prop_assert!(events.iter().all(|(name, data)| name.len().max(data.len()) <= limit));
        }
        Ok(())
    });
}

#[test]
fn limits_are_exact() {
    let line = |size: usize| format!("data: {}\n\n", "x".repeat(size - 6));
    assert_eq!(scan(&[line(100).as_bytes()], 100).map(|events| events.len()), Ok(1));
    assert_eq!(scan(&[line(101).as_bytes()], 100), Err(TooLong { limit: 100 }));
    // Lines of an event count together, with the line feeds between them.
    let lines = "data: 123456789\n".repeat(3);
    assert_eq!(scan(&[lines.as_bytes()], 29).map(|events| events[0].1.len()), Ok(29));
    assert_eq!(scan(&[lines.as_bytes()], 28), Err(TooLong { limit: 28 }));
    // What is swallowed is bounded as well.
    assert_eq!(
        scan(&[format!(":{}\n", "x".repeat(100)).as_bytes()], 100),
        Err(TooLong { limit: 100 })
    );
    // Many short events are no long one.
    assert_eq!(
        scan(&["data: x\n\n".repeat(1000).as_bytes()], 20).map(|events| events.len()),
        Ok(1000)
    );
}

#[test]
fn an_endless_line_or_event_is_refused_soon() {
    // Whatever a server sends, the scanner gives up within a piece of its limit.
    for piece in [
        &b"x"[..],
        b"data: xxxxxxxxxxxxxxx\n",
        b"data:\n",
        b": xxxxxxxxxxxxxxx",
        b"event: xxxxxxxxxxxxx",
    ] {
        let limit = 10_000;
        let mut scanner = SseScanner::new(limit);
        let mut fed = 0;
        let failed = (0..).find_map(|_| {
            fed += piece.len();
            assert!(fed < 8 * limit, "{}", show(piece));
            scanner.feed(piece, |_| ControlFlow::Continue(())).err()
        });
        assert_eq!(failed, Some(TooLong { limit }));
    }
    // Lines that carry nothing are dropped as they come.
    let mut scanner = SseScanner::new(100);
    for _ in 0..100_000 {
        assert!(scanner.feed(b": ping\nid: 7\nevent: x\n", |_| ControlFlow::Continue(())).is_ok());
    }
    assert!(scanner.is_idle());
}

#[test]
fn the_visitor_can_stop_the_scan() {
    let mut scanner = SseScanner::new(BIG);
    let mut seen = Vec::new();
    let flow = scanner.feed(b"data: 1\n\ndata: 2\n\ndata: 3\n\n", |event| {
        seen.push(event.data.to_vec());
        if event.data == b"2" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(flow, Ok(ControlFlow::Break(())));
    assert_eq!(seen, [b"1", b"2"]);
}

#[test]
fn idle_means_that_nothing_is_held() {
    let mut scanner = SseScanner::new(BIG);
    let mut feed = |piece: &[u8]| {
        let flow = scanner.feed(piece, |_| ControlFlow::Continue(()));
        assert!(flow.is_ok());
        scanner.is_idle()
    };
    assert!(feed(b""));
    assert!(!feed(b"da"));
    assert!(!feed(b"ta: x\n"));
    assert!(feed(b"\n"));
    assert!(feed(b": ping\n"));
}
