//! A backend's whole answer, in any pieces: the client always gets strict SSE of valid JSON, or an
//! error, and the same whatever the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_core::endpoint::{Chat, Endpoint};
use penstock_core::rules::{Asked, Completeness, IdAndModel, StreamEvent};
use penstock_testing::naive;
use serde_json::Value;

/// Every event of `out` is one line of JSON behind `data: `, or `[DONE]` at the end.
fn strict(out: &[u8]) {
    let text = std::str::from_utf8(out).expect("UTF-8");
    let mut done = false;
    for event in text.split_terminator("\n\n") {
        assert!(!done, "something behind [DONE]");
        let data = event.strip_prefix("data: ").expect("a data line");
        assert!(!data.contains(['\n', '\r']));
        if data == "[DONE]" {
            done = true;
        } else if naive::json_depth(data.as_bytes()) < 127 {
            serde_json::from_str::<&serde_json::value::RawValue>(data).expect("JSON");
        }
    }
    assert!(out.is_empty() || text.ends_with("\n\n"));
}

fn is_complete(completeness: Completeness) -> bool {
    completeness == Completeness::Complete
}

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (n, include_usage, text) = input;
    let n = u32::from(n % 4) + 1;
    let id_and_model = IdAndModel::new("id", 1, "model");
    let asked = Asked { n, include_usage };
    let chat = Chat.streaming().expect("chat streams");
    let mut normaliser = chat.rules(id_and_model.clone(), asked);
    let mut out = Vec::new();
    for (_, data) in naive::events(text) {
        let before = out.len();
        match normaliser.event(&data, &mut out) {
            Ok(StreamEvent::Chunk { meaningful }) => assert!(!meaningful || out.len() > before),
            Ok(StreamEvent::Done) => break,
            Ok(StreamEvent::Swallowed | StreamEvent::KeepAlive | StreamEvent::Failure(_))
            | Err(_) => {
                assert_eq!(out.len(), before);
            }
        }
    }
    if is_complete(normaliser.completeness()) {
        normaliser.finish(&mut out);
    }
    strict(&out);
    let _ = normaliser.usage();

    // What was put right once needs nothing more.
    if is_complete(normaliser.completeness()) {
        let mut again = chat.rules(id_and_model.clone(), asked);
        let mut twice = Vec::new();
        for (_, data) in naive::events(&out) {
            if data == b"[DONE]" {
                break;
            }
            if again.event(&data, &mut twice).is_err() {
                return;
            }
        }
        assert!(is_complete(again.completeness()));
        strict(&twice);
    }

    // Put together, it is JSON, and whole where the stream is.
    let mut assembler = chat.assembly(id_and_model.clone(), asked);
    let mut is_good = true;
    for (_, data) in naive::events(text) {
        match assembler.event(&data) {
            Ok(StreamEvent::Done) => break,
            Ok(_) => {}
            Err(_) => is_good = false,
        }
    }
    assert!(
        !is_good || is_complete(assembler.completeness()) == is_complete(normaliser.completeness())
    );
    if is_complete(assembler.completeness()) {
        let mut whole = Vec::new();
        assembler.write(&mut whole);
        if naive::json_depth(&whole) < 127 {
            serde_json::from_slice::<&serde_json::value::RawValue>(&whole).expect("JSON");
        }
    }

    // The same bytes as a whole answer.
    let mut body = Vec::new();
    if Chat.whole(text, &id_and_model, asked, &mut body).is_ok() && naive::json_depth(&body) < 127 {
        serde_json::from_slice::<&serde_json::value::RawValue>(&body).expect("JSON");
        let _: Result<Value, _> = serde_json::from_slice(&body);
    }
    let mut normaliser = chat.rules(id_and_model, asked);
    let mut out = Vec::new();
    let _ = chat.stream_of(text, asked, &mut |chunk: &[u8]| {
        let _ = normaliser.event(chunk, &mut out);
    });
    strict(&out);
});
