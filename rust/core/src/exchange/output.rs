//! Output for a client: a head, a body, and the framing around it.
//!
//! Each call of the exchange produces at most one HTTP chunk and one write.

use penstock_wire::http::{
    AnswerHead, CHUNK_SIZE_LINE, DateText, Framing, LAST_CHUNK, chunk_size, write_answer_head,
};

use super::client::Client;
use crate::endpoint::Endpoint;
use crate::openai::ApiError;
use crate::time::Now;

/// Buffers that are reused by one output after another. They are empty in between, so no byte of one
/// request can reach another request's answer.
#[derive(Debug, Default)]
pub struct OutputMemory {
    date: DateText,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// One write for one client. It borrows the buffers, is filled by the exchange, and gives the buffers back.
#[derive(Debug, Default)]
pub struct Output {
    memory: OutputMemory,
    /// The body is a piece of a chunked stream.
    chunked: bool,
    /// The stream ends after this piece.
    last: bool,
}

impl Output {
    /// An empty output. It takes the buffers out of `memory` until [`Self::give_back`].
    pub fn new(memory: &mut OutputMemory) -> Self {
        Output { memory: std::mem::take(memory), chunked: false, last: false }
    }

    /// Clears the buffers and returns them for the next output.
    pub fn give_back(mut self, memory: &mut OutputMemory) {
        self.clear();
        *memory = self.memory;
    }

    pub(super) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.memory.body
    }

    pub(super) fn clear(&mut self) {
        self.memory.head.clear();
        self.memory.body.clear();
        self.chunked = false;
        self.last = false;
    }

    pub fn is_empty(&self) -> bool {
        self.memory.head.is_empty() && self.memory.body.is_empty() && !self.last
    }

    /// Marks the body of this output as a piece of a stream.
    pub(super) fn piece(&mut self, framing: Framing) {
        self.chunked = framing == Framing::Chunked;
    }

    pub(super) fn end_stream(&mut self) {
        self.last = true;
    }

    /// `write_more` appends further header lines, each ended by CRLF.
    pub(super) fn write_head(
        &mut self,
        head: &AnswerHead,
        now: Now,
        write_more: impl FnOnce(&mut Vec<u8>),
    ) {
        let OutputMemory { date, head: text, .. } = &mut self.memory;
        date.set(now.unix_seconds());
        write_answer_head(head, date, write_more, text);
    }

    /// Calls `show` with the bytes to write, in order, as separate slices (for a vectored write).
    pub fn assemble<R>(&self, show: impl FnOnce(&[&[u8]]) -> R) -> R {
        let OutputMemory { head, body, .. } = &self.memory;
        let last = if self.last { LAST_CHUNK } else { b"" };
        if !self.chunked {
            return show(&[head, body]);
        }
        if body.is_empty() {
            return show(&[head, last]);
        }
        let mut line = [0; CHUNK_SIZE_LINE];
        let size = chunk_size(body.len(), &mut line);
        if head.is_empty() && !self.last {
            // The most frequent case: a piece in the middle of a stream.
            return show(&[size, body, b"\r\n"]);
        }
        show(&[head, size, body, b"\r\n", last])
    }
}

/// Writes a whole error response in the form of an endpoint. `write_more` appends further header lines, each
/// ended by CRLF.
pub fn write_error(
    endpoint: &dyn Endpoint,
    error: &ApiError,
    client: &Client,
    write_more: impl FnOnce(&mut Vec<u8>),
    now: Now,
    out: &mut Output,
) {
    out.clear();
    endpoint.write_error(error, out.body());
    let head = AnswerHead {
        status: error.status(),
        content_type: "application/json",
        framing: Framing::Length(out.memory.body.len() as u64),
        keep_alive: client.keep_alive,
        http10: client.http10,
    };
    out.write_head(&head, now, |lines| {
        lines.extend_from_slice(b"x-request-id: ");
        lines.extend_from_slice(client.request_id.as_bytes());
        lines.extend_from_slice(b"\r\n");
        lines.extend_from_slice(&client.headers);
        write_more(lines);
        error.write_headers(lines);
    });
}
