//! The JSON reader and the edits against `serde_json`.
//!
//! Where they may differ, by design: `serde_json` refuses lone surrogates when it decodes a string,
//! and numbers beyond the range of a float; RFC 8259 allows both (§7, §6), and what Penstock only
//! passes on it must not refuse. So lone surrogates are accepted and read as U+FFFD, any number of
//! the grammar is accepted, and the oracle is asked for `RawValue`, which checks the grammar alone.
//! `serde_json` stops at depth 127 and Penstock at 128; near there depth is counted
//! apart.

use penstock_testing::{naive, property, show};
use penstock_wire::json::{
    Edits, JsonError, JsonErrorKind, Kind, MAX_DEPTH, MemberFilter, Reader, Span, Value as Found,
    is_string_content, unescape, write_string,
};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

fn read(text: &[u8]) -> Result<Found, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

/// The same through `object` and `array`, which have code of their own.
fn walk(text: &[u8]) -> Result<(), JsonError> {
    fn any(reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::Object => reader.object(|reader, _| any(reader)).map(|_| ()),
            Kind::Array => reader.array(|reader, _| any(reader)).map(|_| ()),
            _ => reader.value().map(|_| ()),
        }
    }
    let mut reader = Reader::new(text);
    any(&mut reader)?;
    reader.end()
}

/// Whether the grammar accepts a text whose depth both readers allow.
fn oracle(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

const GOOD: &[&str] = &[
    "null",
    " true\t",
    "\r\nfalse\n",
    "0",
    "-0",
    "-0.0e-0",
    "1E+99999",
    "123456789012345678901234567890",
    "\"\"",
    r#""\"\\\/\b\f\n\r\t\u0041""#,
    r#""\ud83d\ude00""#,
    r#""\ud800""#,
    r#""\udc00\ud800x""#,
    "\"\u{7f}\u{80}\u{2028}é😀\"",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1,2 , 3]",
    r#"{"a":{"b":[{}]},"a":1}"#,
    r#"{"":""}"#,
    "[[],{},[[]]]",
    r#" { "k" : [ "v" , -1.5e3 ] } "#,
];

const BAD: &[&str] = &[
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "tru e",
    "01",
    "-",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "1.e1",
    "0x1",
    "NaN",
    "Infinity",
    "-Infinity",
    "\"",
    "\"\\\"",
    r#""\x""#,
    r#""\u12""#,
    r#""\u12G4""#,
    "\"\n\"",
    "\"\u{1f}\"",
    "\"\\",
    "\"\\u",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\" 1}",
    "{\"a\":1]",
    "{,}",
    "1 2",
    "{} {}",
    "[] ,",
    "/**/1",
    "1//",
    "\u{feff}1",
    "\u{a0}1",
    "\u{b}1",
];

#[test]
fn a_corpus_of_texts() {
    for text in GOOD {
        assert!(oracle(text.as_bytes()), "the oracle on {text}");
        let value = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.span.of(text.as_bytes()), text.trim().as_bytes(), "{text}");
        assert_eq!(walk(text.as_bytes()), Ok(()), "{text}");
    }
    for text in BAD {
        assert!(!oracle(text.as_bytes()), "the oracle on {text}");
        assert!(read(text.as_bytes()).is_err(), "{text}");
        assert!(walk(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn an_error_says_what_and_where() {
    use JsonErrorKind::{BadEscape, BadNumber, ControlCharacter, Ended, Trailing, Unexpected};
    let cases: &[(&str, JsonErrorKind, usize)] = &[
        ("", Ended, 0),
        ("{\"a\":", Ended, 5),
        ("[1 2]", Unexpected, 3),
        ("{\"a\" 1}", Unexpected, 5),
        ("\"ab\\x\"", BadEscape, 3),
        ("\"a\\u00G0\"", BadEscape, 2),
        ("\"a\tb\"", ControlCharacter, 2),
        ("\"ab", Ended, 3),
        ("\"ab\\u00", Ended, 7),
        ("01", BadNumber, 1),
        ("[-]", BadNumber, 2),
        ("{} x", Trailing, 3),
    ];
    for &(text, kind, at) in cases {
        assert_eq!(read(text.as_bytes()), Err(JsonError { at, kind }), "{text}");
    }
}

#[test]
fn depth_is_followed_to_the_limit_and_not_beyond() {
    for depth in [1u32, 2, 63, 64, 65, 126, 127, 128, 129, 130, 256, 1_100, 100_000] {
        for (open, close) in [("[", "]"), ("{\"k\":", "}"), ("[{\"k\":", "}]")] {
            let rounds = depth as usize / open.matches(['[', '{']).count();
            let text = format!("{}1{}", open.repeat(rounds), close.repeat(rounds));
            let deep = naive::json_depth(text.as_bytes());
            let expected = deep <= MAX_DEPTH;
            let error = read(text.as_bytes()).err().map(|error| error.kind);
            assert_eq!(error, (!expected).then_some(JsonErrorKind::TooDeep), "{open} {depth}");
            let error = walk(text.as_bytes()).err().map(|error| error.kind);
            assert_eq!(error, (!expected).then_some(JsonErrorKind::TooDeep), "{open} {depth}");
        }
        // Unclosed: an error, and no more.
        assert!(read("[".repeat(depth as usize).as_bytes()).is_err());
    }
    // Brackets of every pattern keep their partner at full depth.
    for seed in 0..200u64 {
        let kinds: Vec<bool> = (0..128).map(|at| (seed * 0x9E37_79B9 + at) % 7 % 2 == 0).collect();
        let open: String = kinds.iter().map(|&k| if k { "{\"k\":" } else { "[" }).collect();
        let close: String = kinds.iter().rev().map(|&k| if k { '}' } else { ']' }).collect();
        assert!(read(format!("{open}1{close}").as_bytes()).is_ok(), "{seed}");
        for flip in [0, 1, 64, 127] {
            let mut wrong: Vec<char> = close.chars().collect();
            wrong[flip] = if wrong[flip] == '}' { ']' } else { '}' };
            let wrong: String = wrong.into_iter().collect();
            assert!(read(format!("{open}1{wrong}").as_bytes()).is_err(), "{seed} {flip}");
        }
    }
}

#[test]
fn long_strings_end_where_they_end() {
    // Every length and every place of the interesting byte, for the eight-byte steps.
    for length in 0..40 {
        for at in 0..=length {
            for (special, good) in [
                ("\\\"", true),
                ("\\n", true),
                ("\u{1f}", false),
                ("\u{0}", false),
                ("\u{20}", true),
                ("é", true),
                ("\u{7f}", true),
                ("\u{10ffff}", true),
            ] {
                let text = format!("\"{}{special}{}\" ", "x".repeat(at), "y".repeat(length - at));
                let found = read(text.as_bytes());
                assert_eq!(found.is_ok(), good, "{text:?}");
                if let Ok(value) = found {
                    assert_eq!(value.span.end, text.len() - 1);
                }
            }
        }
    }
}

#[test]
fn escapes_are_read_wherever_they_lie() {
    // Around the blocks of 16 and 64 bytes in which strings are read, and the plain run behind some.
    for before in (0..=200).chain(380..=460) {
        for special in [
            "\\\"",
            "\\\\",
            "\\\\\\\"",
            "\\n\\\"\\t",
            "\\u00e9",
            "\\ud83d\\ude00\\n",
            "\\u12",
            "\\x",
            "\\",
            // What ends the string, rightly or not, behind an escape in the same block.
            "\\n\"",
            "\\\\\"",
            "\\n\u{1}",
        ] {
            for after in [0, 1, 15, 63, 64, 130] {
                let inside = format!("{}{special}{}", "x".repeat(before), "y".repeat(after));
                let text = format!("\"{inside}\" ");
                let found = read(text.as_bytes()).map(|value| value.span.end);
                let good: Result<&RawValue, _> = serde_json::from_str(&text);
                assert_eq!(found.ok(), good.ok().map(|raw| raw.get().len()), "{text:?}");
                let whole = serde_json::from_str::<String>(&format!("\"{inside}\""));
                assert_eq!(is_string_content(inside.as_bytes()), whole.is_ok(), "{inside:?}");
            }
        }
    }
}

/// Any JSON, written in a random style.
fn document() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        "[ -~]{0,12}".prop_map(|text| Value::String(text).to_string()),
        "\\PC{0,8}".prop_map(|text| Value::String(text).to_string()),
        prop::collection::vec(
            prop_oneof![
                Just("\\n".to_owned()),
                Just("\\\"".to_owned()),
                Just("\\\\".to_owned()),
                Just("\\/".to_owned()),
                Just("\\ud83d\\ude00".to_owned()),
                Just("\\ud800".to_owned()),
                Just("\\uDC00".to_owned()),
                any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
                Just("x".to_owned()),
                Just("é".to_owned()),
            ],
            0..8
        )
        .prop_map(|parts| format!("\"{}\"", parts.concat())),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string.clone(),
    ];
    let blank = "[ \t\r\n]{0,2}";
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..6), blank).prop_map(|(items, blank)| {
                format!("[{blank}{}{blank}]", items.join(&format!("{blank},")))
            }),
            (prop::collection::vec((string.clone(), inner), 0..6), blank).prop_map(
                |(items, blank)| {
                    let members: Vec<String> = items
                        .iter()
                        .map(|(key, value)| format!("{key}{blank}:{blank}{value}"))
                        .collect();
                    format!("{{{blank}{}{blank}}}", members.join(&format!(",{blank}")))
                }
            ),
        ]
    })
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
    Repeat(usize, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![
        prop::sample::select(b"{}[]\",:\\/untrfalse0123456789.eE+- \t\r\n\x00\x1f\x7f".to_vec()),
        0u8..128,
    ];
    prop_oneof![
        (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<usize>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<usize>().prop_map(Mutation::Remove),
        any::<usize>().prop_map(Mutation::Cut),
        (any::<usize>(), 1usize..8).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

fn mutate(text: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        let size = bytes.len().max(1);
        match *mutation {
            _ if bytes.is_empty() => bytes.push(b'1'),
            Mutation::Set(at, byte) => bytes[at % size] = byte,
            Mutation::Insert(at, byte) => bytes.insert(at % size, byte),
            Mutation::Remove(at) => {
                bytes.remove(at % size);
            }
            Mutation::Cut(at) => bytes.truncate(at % size),
            Mutation::Repeat(at, length) => {
                let at = at % size;
                let part = bytes[at..(at + length).min(size)].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
    bytes
}

#[test]
fn accepts_what_serde_json_accepts() {
    let counts = std::cell::Cell::new((0, 0));
    let strategy = (document(), prop::collection::vec(mutation(), 0..4));
    property(20_000, &strategy, |(text, mutations)| {
        let bytes = mutate(&text, &mutations);
        // The reader checks structure and not encoding; its callers check that first.
        if std::str::from_utf8(&bytes).is_err() {
            return Ok(());
        }
        let expected = oracle(&bytes);
        let found = read(&bytes);
        prop_assert_eq!(found.is_ok(), expected, "{}: {:?}", show(&bytes), found);
        let walked = walk(&bytes);
        prop_assert_eq!(walked.is_ok(), expected, "{}: {:?}", show(&bytes), walked);
        if let Err(error) = found {
            prop_assert!(error.at <= bytes.len());
        }
        let (good, bad) = counts.get();
        counts.set(if expected { (good + 1, bad) } else { (good, bad + 1) });
        Ok(())
    });
    let (good, bad) = counts.get();
    assert!(good > 1_000 && bad > 1_000, "the cases are one-sided: {good} good, {bad} bad");
}

#[test]
fn spans_are_those_of_raw_values() {
    let member = (document(), document());
    property(3_000, &prop::collection::vec(member, 0..6), |members| {
        // Keys of their own, so that the oracle's map keeps all of them.
        let text: Vec<String> = members
            .iter()
            .enumerate()
            .map(|(at, (key, value))| format!(" \"{at}{}\" : {value}", key.len()))
            .collect();
        let text = format!(" {{{}}} ", text.join(" ,"));
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut starts = Vec::new();
        let mut reader = Reader::new(text.as_bytes());
        let object = reader.object(|reader, key| {
            starts.push((key.start, text.as_bytes()[key.start]));
            let name = unescape(key.raw).into_owned();
            let value = reader.value()?;
            found.push((name, value.span.of(text.as_bytes()).to_vec()));
            Ok::<(), JsonError>(())
        });
        prop_assert_eq!(object.expect("an object").of(text.as_bytes()), text.trim().as_bytes());
        prop_assert!(starts.iter().all(|&(_, byte)| byte == b'"'));
        let raw: std::collections::BTreeMap<String, &RawValue> =
            serde_json::from_str(&text).expect("an object");
        prop_assert_eq!(raw.len(), found.len());
        for (name, span) in &found {
            prop_assert_eq!(raw[name].get().as_bytes(), span.as_slice());
        }
        Ok(())
    });
}

#[test]
fn strings_mean_what_serde_json_reads() {
    property(5_000, &document(), |text| {
        let value = read(text.as_bytes()).expect("a document");
        let Some(raw) = value.raw_str(text.as_bytes()) else {
            return Ok(());
        };
        match serde_json::from_str::<String>(&text) {
            Ok(expected) => prop_assert_eq!(unescape(raw).into_owned(), expected),
            // A lone surrogate: the oracle refuses, here it reads as U+FFFD.
            Err(_) => prop_assert!(unescape(raw).contains('\u{FFFD}'), "{}", text),
        }
        Ok(())
    });
}

#[test]
fn lone_surrogates_become_replacement_characters() {
    for (raw, expected) in [
        (r"\ud800", "\u{FFFD}"),
        (r"\udc00", "\u{FFFD}"),
        (r"\ud800\ud800\udc00", "\u{FFFD}\u{10000}"),
        (r"\ud800x\udc00", "\u{FFFD}x\u{FFFD}"),
        (r"\udbff\udfff", "\u{10FFFF}"),
        (r"\ud800\n", "\u{FFFD}\n"),
        (r"\ud800\u0041", "\u{FFFD}A"),
    ] {
        assert_eq!(unescape(raw.as_bytes()), expected, "{raw}");
    }
}

#[test]
fn written_strings_read_back() {
    let text = prop_oneof!["\\PC{0,20}", any::<String>(), "[\0-\u{1f}\"\\\\\u{7f}]{0,9}"];
    property(5_000, &text, |text| {
        let mut out = Vec::new();
        write_string(&text, &mut out);
        prop_assert_eq!(&serde_json::from_slice::<String>(&out).expect("a string"), &text);
        prop_assert_eq!(read(&out).expect("a string").kind, Kind::String);
        prop_assert_eq!(unescape(&out[1..out.len() - 1]), text);
        prop_assert!(!out.iter().any(u8::is_ascii_control));
        Ok(())
    });
}

#[test]
fn integers_are_read_exactly_or_not_at_all() {
    for (text, expected) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("-0", None),
        ("-1", None),
        ("1.0", None),
        ("1e3", None),
        ("\"1\"", None),
        ("null", None),
    ] {
        assert_eq!(
            read(text.as_bytes()).expect("a value").as_u64(text.as_bytes()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn emptiness() {
    for (text, expected) in [
        ("null", true),
        ("\"\"", true),
        ("[]", true),
        ("{ \n}", true),
        ("\" \"", false),
        ("[[]]", false),
        ("{\"\":null}", false),
        ("0", false),
        ("false", false),
        ("true", false),
    ] {
        assert_eq!(
            read(text.as_bytes()).expect("a value").is_empty(text.as_bytes()),
            expected,
            "{text}"
        );
    }
}

/// What happens to one member of an object, or one element of an array.
#[derive(Debug, Clone)]
enum Change {
    Keep,
    Remove,
    Replace(String),
}

fn changes() -> impl Strategy<Value = Vec<(Value, Change)>> {
    let small = prop_oneof![
        Just(json!(1)),
        Just(json!("x,]}")),
        Just(json!({"a": [1, 2]})),
        Just(json!([]))
    ];
    let change = prop_oneof![
        Just(Change::Keep),
        Just(Change::Remove),
        document()
            .prop_filter("readable by the oracle", |text| {
                serde_json::from_str::<Value>(text).is_ok()
            })
            .prop_map(Change::Replace),
    ];
    prop::collection::vec((small, change), 0..7)
}

#[test]
fn removing_and_replacing_is_what_a_map_does() {
    let blank = prop::sample::select(vec!["", " ", "\n  "]);
    property(4_000, &(changes(), blank, any::<bool>()), |(rows, blank, add)| {
        // An object and an array of the same rows.
        let members: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(at, (value, _))| format!("\"k{at}\"{blank}:{blank}{value}"))
            .collect();
        let elements: Vec<String> = rows.iter().map(|(value, _)| value.to_string()).collect();
        let comma = format!("{blank},{blank}");
        let object = format!("{{{blank}{}{blank}}}", members.join(&comma));
        let array = format!("[{blank}{}{blank}]", elements.join(&comma));

        let mut expected_object = Map::new();
        let mut expected_array = Vec::new();
        for (at, (value, change)) in rows.iter().enumerate() {
            let value = match change {
                Change::Keep => value.clone(),
                Change::Remove => continue,
                Change::Replace(text) => serde_json::from_str(text).expect("a document"),
            };
            expected_object.insert(format!("k{at}"), value.clone());
            expected_array.push(value);
        }
        if add {
            expected_object.insert("new".to_owned(), json!(true));
            expected_array.push(json!(true));
        }
        for (text, is_object) in [(&object, true), (&array, false)] {
            let source = text.as_bytes();
            let mut edits = Edits::default();
            let mut filter = MemberFilter::new(0);
            let mut reader = Reader::new(source);
            let mut at = 0;
            let mut one = |start: usize, value: Found| {
                match &rows[at].1 {
                    Change::Keep => filter.keep(start, value.span.end, &mut edits),
                    Change::Remove => filter.remove(value.span.end, &mut edits),
                    Change::Replace(fresh) => {
                        filter.keep(start, value.span.end, &mut edits);
                        edits.replace(value.span, |out| out.extend_from_slice(fresh.as_bytes()));
                    }
                }
                at += 1;
            };
            let span = if is_object {
                reader.object(|reader, key| {
                    one(key.start, reader.value()?);
                    Ok::<(), JsonError>(())
                })
            } else {
                reader.array(|reader, _| {
                    let value = reader.value()?;
                    one(value.span.start, value);
                    Ok::<(), JsonError>(())
                })
            };
            let span = span.expect("valid");
            if add {
                let comma = if filter.any_kept() { "," } else { "" };
                let fresh = if is_object { "\"new\":true" } else { "true" };
                edits.insert(span.end - 1, |out| {
                    out.extend_from_slice(format!("{comma}{fresh}").as_bytes());
                });
            }
            let mut out = Vec::new();
            edits.apply(source, &mut out);
            let got: Value = serde_json::from_slice(&out)
                .map_err(|error| TestCaseError::fail(format!("{error}: {}", show(&out))))?;
            let expected = if is_object {
                Value::Object(expected_object.clone())
            } else {
                json!(expected_array)
            };
            prop_assert_eq!(&got, &expected, "{}", show(&out));
            // The order of what stays, which equality of maps does not see.
            prop_assert_eq!(got.to_string(), expected.to_string());
        }
        Ok(())
    });
}

#[test]
fn edits_in_any_order_are_those_of_a_naive_splice() {
    let pieces = prop::collection::vec(("[a-z]{0,6}", prop::option::of("[A-Z]{0,4}")), 0..8);
    property(3_000, &(pieces, any::<u64>()), |(pieces, order)| {
        // The source is all the pieces; some of them are replaced.
        let source: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
        let expected: String =
            pieces.iter().map(|(text, fresh)| fresh.as_deref().unwrap_or(text)).collect();
        let mut start = 0;
        let mut spans = Vec::new();
        for (text, fresh) in &pieces {
            let end = start + text.len();
            if let Some(fresh) = fresh {
                spans.push((Span { start, end }, fresh.clone()));
            }
            start = end;
        }
        // Insertions at one place keep their order, so only true replacements are shuffled.
        if spans.iter().all(|(span, _)| span.start < span.end) {
            let size = spans.len().max(1);
            spans.rotate_left(order as usize % size);
        }
        let mut edits = Edits::default();
        for (span, fresh) in &spans {
            edits.replace(*span, |out| out.extend_from_slice(fresh.as_bytes()));
        }
        prop_assert_eq!(edits.is_empty(), spans.is_empty());
        let mut out = b"before".to_vec();
        edits.apply(source.as_bytes(), &mut out);
        prop_assert_eq!(String::from_utf8(out).expect("text"), format!("before{expected}"));
        edits.clear();
        let mut out = Vec::new();
        edits.apply(source.as_bytes(), &mut out);
        prop_assert_eq!(out, source.into_bytes());
        Ok(())
    });
}
