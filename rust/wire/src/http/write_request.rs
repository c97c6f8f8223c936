//! Writes the head of a request to a model server. No header of a client is forwarded.

use crate::decimal::write_decimal;

/// Appends a request head for a JSON body of `length` bytes.
///
/// `path`: the backend's base path and the endpoint's path. `fixed`: the backend's own header lines, each ended by
/// CRLF: `host`, credentials and what the configuration adds.
pub fn write_request_head(
    path: [&str; 2],
    fixed: &[u8],
    upstream_id: &str,
    stream: bool,
    length: usize,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"POST ");
    out.extend_from_slice(path[0].as_bytes());
    out.extend_from_slice(path[1].as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    out.extend_from_slice(fixed);
    out.extend_from_slice(if stream {
        b"accept: text/event-stream\r\n"
    } else {
        b"accept: application/json\r\n"
    });
    out.extend_from_slice(
        b"accept-encoding: identity\r\ncontent-type: application/json\r\nx-request-id: ",
    );
    out.extend_from_slice(upstream_id.as_bytes());
    out.extend_from_slice(b"\r\ncontent-length: ");
    write_decimal(length as u64, out);
    out.extend_from_slice(b"\r\n\r\n");
}
