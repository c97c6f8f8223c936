//! The JSON reader against serde_json's grammar.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_testing::naive;
use penstock_wire::json::{JsonErrorKind, Kind, Reader, unescape};
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let bytes = text.as_bytes();
    let mut reader = Reader::new(bytes);
    let found = reader.value().and_then(|value| reader.end().map(|()| value));
    // serde_json stops one level earlier.
    if naive::json_depth(bytes) >= 127 {
        return;
    }
    match (found, serde_json::from_str::<&RawValue>(text)) {
        (Ok(value), Ok(raw)) => {
            assert_eq!(value.span.of(bytes), raw.get().as_bytes());
            if value.kind == Kind::String
                && let Ok(expected) = serde_json::from_str::<String>(text)
            {
                assert_eq!(unescape(value.raw_str(bytes).expect("a string")), expected);
            }
        }
        (Err(error), Err(_)) => {
            assert!(error.at <= bytes.len());
            assert_ne!(error.kind, JsonErrorKind::TooDeep);
        }
        (found, oracle) => panic!("{found:?} {:?}", oracle.map(RawValue::get)),
    }
});
