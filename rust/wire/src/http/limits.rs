//! Bounds on what a model server may send, each with its reason.

/// A response head; the engines send under 1 KiB, proxies in between under 8.
pub const RESPONSE_HEAD: usize = 32 * 1024;
/// Header lines of a response; httparse needs room for all of them on the stack.
pub const RESPONSE_HEADERS: usize = 96;
/// Hexadecimal digits of a chunk size: 16 fill 64 bits.
pub const CHUNK_SIZE_DIGITS: u32 = 16;
/// A chunk extension; nothing that Penstock reads uses them.
pub const CHUNK_EXTENSION: usize = 1024;
/// All trailers together.
pub const TRAILERS: usize = 8 * 1024;
