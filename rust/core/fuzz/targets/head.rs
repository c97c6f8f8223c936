//! Response heads: the same in any pieces, and never more bytes than there are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_wire::http::{HeadError, ResponseHead, ResponseHeadDecoder};

fn read(pieces: &[&[u8]]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    let mut reader = ResponseHeadDecoder::default();
    let mut before = 0;
    for piece in pieces {
        if let Some((head, used)) = reader.feed(piece)? {
            assert!(used <= piece.len());
            return Ok(Some((head, before + used)));
        }
        before += piece.len();
    }
    Ok(None)
}

fuzz_target!(|input: (u16, &[u8])| {
    let (at, wire) = input;
    let whole = read(&[wire]);
    let (first, second) = wire.split_at(usize::from(at) % (wire.len() + 1));
    assert_eq!(read(&[first, second]), whole);
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(&bytes), whole);
});
