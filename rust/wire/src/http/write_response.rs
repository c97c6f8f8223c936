//! Writes the heads of the responses to clients.

use super::date::DateText;
use super::framing::Framing;
use crate::decimal::write_decimal;

/// The end of a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The part of a response head that every response has.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead {
    pub status: u16,
    pub content_type: &'static str,
    /// `Chunked` for HTTP/1.1 clients only: a stream to an HTTP/1.0 client is `UntilClose`.
    pub framing: Framing,
    /// Whether the connection stays open after this response.
    pub keep_alive: bool,
    /// The client speaks HTTP/1.0, where a connection stays open only if the response says so.
    pub http10: bool,
}

/// Appends a head. `write_more` appends further header lines, each ended by CRLF.
pub fn write_answer_head(
    head: &AnswerHead,
    date: &DateText,
    write_more: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(u64::from(head.status), out);
    out.push(b' ');
    out.extend_from_slice(reason(head.status).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(date.text());
    out.extend_from_slice(b"\r\ncontent-type: ");
    out.extend_from_slice(head.content_type.as_bytes());
    out.extend_from_slice(b"\r\n");
    match head.framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            write_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    let open = head.keep_alive && head.framing != Framing::UntilClose;
    if !open {
        out.extend_from_slice(b"connection: close\r\n");
    } else if head.http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    write_more(out);
    out.extend_from_slice(b"\r\n");
}

/// Bytes of the longest chunk size line: 16 digits and CRLF.
pub const CHUNK_SIZE_LINE: usize = 18;

/// Writes the size line of a chunk of `length` bytes, which must not be zero, to the end of `line`.
pub fn chunk_size(mut length: usize, line: &mut [u8; CHUNK_SIZE_LINE]) -> &[u8] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut at = CHUNK_SIZE_LINE - 2;
    line[at..].copy_from_slice(b"\r\n");
    while length > 0 {
        at -= 1;
        line[at] = HEX[length & 15];
        length >>= 4;
    }
    &line[at..]
}

/// The reason phrase of the statuses that Penstock sends.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
