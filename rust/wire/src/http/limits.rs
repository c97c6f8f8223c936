//! Limits on what a model server may send, each with its reason.

/// Bytes of a response head. The engines send less than 1 KiB, proxies in between less than 8.
pub const RESPONSE_HEAD: usize = 32 * 1024;
/// Header lines of a response. httparse needs an array of this size on the stack.
pub const RESPONSE_HEADERS: usize = 96;
/// Hexadecimal digits of a chunk size: 16 are 64 bits.
pub const CHUNK_SIZE_DIGITS: u32 = 16;
/// Bytes of a chunk extension. No model server uses them.
pub const CHUNK_EXTENSION: usize = 1024;
/// Bytes of all trailers together.
pub const TRAILERS: usize = 8 * 1024;
