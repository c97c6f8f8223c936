//! The SSE scanner against the reader of whole texts, in any pieces.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use penstock_testing::naive;
use penstock_wire::sse::{SseScanner, TooLong};

fn scan(pieces: &[&[u8]], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, TooLong> {
    let mut scanner = SseScanner::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        let _ = scanner.feed(piece, |event| {
            found.push((event.name.to_vec(), event.data.to_vec()));
            ControlFlow::Continue(())
        })?;
    }
    let _ = scanner.finish(|event| {
        found.push((event.name.to_vec(), event.data.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (at, limit, text) = input;
    let (first, second) = text.split_at(usize::from(at) % (text.len() + 1));
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    let expected = naive::events(text);
    assert_eq!(scan(&[text], 1 << 20).as_ref(), Ok(&expected));
    assert_eq!(scan(&[first, second], 1 << 20).as_ref(), Ok(&expected));
    assert_eq!(scan(&bytes, 1 << 20).as_ref(), Ok(&expected));
    let limit = usize::from(limit);
    let whole = scan(&[text], limit);
    assert_eq!(scan(&[first, second], limit), whole);
    assert_eq!(scan(&bytes, limit), whole);
});
