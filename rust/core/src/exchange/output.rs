//! What is to be written to a client: a head, a body, and the framing around it.
//!
//! Everything that one call of the exchange has to say becomes one HTTP chunk and one write.

use penstock_wire::http::{
    AnswerHead, CHUNK_SIZE_LINE, DateText, Framing, LAST_CHUNK, chunk_size, write_answer_head,
};

use super::machine::Client;
use crate::endpoint::Endpoint;
use crate::openai::ApiError;
use crate::time::Now;

/// Memory that outputs are made of, one after the other. It holds no bytes and no framing between two
/// of them, so nothing of one request can reach the answer of another.
#[derive(Debug, Default)]
pub struct OutputMemory {
    date: DateText,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// One write for one client: made for it, filled by its exchange, then given back.
#[derive(Debug, Default)]
pub struct Output {
    memory: OutputMemory,
    /// The body is a piece of a chunked stream.
    chunked: bool,
    /// The stream ends behind this piece.
    last: bool,
}

impl Output {
    /// An empty output; `memory` is empty-handed until [`Self::give_back`].
    pub fn new(memory: &mut OutputMemory) -> Self {
        Output { memory: std::mem::take(memory), chunked: false, last: false }
    }

    /// Ends it and leaves its memory, emptied, to the next one.
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

    /// The body of this output is a piece of a stream.
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

    /// Shows the exact bytes for the client's connection, in order and in pieces that nobody had to
    /// join.
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
            // One of the many pieces in the middle.
            return show(&[size, body, b"\r\n"]);
        }
        show(&[head, size, body, b"\r\n", last])
    }
}

/// Writes a whole error answer in the form of an endpoint. `write_more` appends further header lines, each
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
