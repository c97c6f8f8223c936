//! Chunked bodies against the slow decoder, in any pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_testing::naive;
use penstock_wire::http::{ChunkedDecoder, FramingError};

fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), FramingError> {
    let mut decoder = ChunkedDecoder::default();
    let mut data = Vec::new();
    let mut total = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoder.is_done() {
            let (used, found) = decoder.next(rest)?;
            assert!(used > 0);
            data.extend_from_slice(found);
            rest = &rest[used..];
            total += used;
        }
    }
    Ok((data, decoder.is_done().then_some(total)))
}

fuzz_target!(|input: (u16, &[u8])| {
    let (at, wire) = input;
    let whole = decode(&[wire]);
    let (first, second) = wire.split_at(usize::from(at) % (wire.len() + 1));
    assert_eq!(decode(&[first, second]), whole);
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(decode(&bytes), whole);
    if let Ok(whole) = whole {
        assert_eq!(naive::dechunk(wire), Some(whole));
    }
});
