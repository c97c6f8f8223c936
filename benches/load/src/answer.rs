//! Reads an answer as it comes, and believes nothing: a lie is an error with a name.

use std::ops::ControlFlow;

use penstock_wire::http::{BodyDecoder, BodyEnd, ResponseHead, ResponseHeadDecoder};
use penstock_wire::sse::SseScanner;

use crate::request::Kind;

const EVENT_LIMIT: usize = 1 << 20;
/// As much of a whole answer is looked at.
const START: usize = 2048;

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is no HTTP.
    Garbage,
    /// Its status is not 200.
    Status,
    /// It ended before its framing did.
    Truncated,
    /// A stream without `[DONE]`.
    NoDone,
    /// A stream with an error event.
    ErrorEvent,
    /// A whole answer that is no completion.
    NoCompletion,
}

impl Fault {
    pub const ALL: [Fault; 6] = [
        Fault::Garbage,
        Fault::Status,
        Fault::Truncated,
        Fault::NoDone,
        Fault::ErrorEvent,
        Fault::NoCompletion,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Fault::Garbage => "garbage",
            Fault::Status => "status",
            Fault::Truncated => "truncated",
            Fault::NoDone => "no_done",
            Fault::ErrorEvent => "error_event",
            Fault::NoCompletion => "no_completion",
        }
    }
}

/// What one read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    pub events: u64,
    pub is_complete: bool,
}

#[derive(Debug)]
pub struct Answer {
    kind: Kind,
    head: ResponseHeadDecoder,
    body: Option<(ResponseHead, BodyDecoder)>,
    scanner: SseScanner,
    is_done: bool,
    has_error: bool,
    /// The beginning of a whole answer, and its last byte.
    start: Vec<u8>,
    last: u8,
}

impl Answer {
    pub fn new(kind: Kind) -> Self {
        Answer {
            kind,
            head: ResponseHeadDecoder::default(),
            body: None,
            scanner: SseScanner::new(EVENT_LIMIT),
            is_done: false,
            has_error: false,
            start: Vec::new(),
            last: 0,
        }
    }

    /// Takes what has come. Nothing may come behind the answer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Read, Fault> {
        let mut rest = bytes;
        if self.body.is_none() {
            match self.head.feed(rest).map_err(|_| Fault::Garbage)? {
                None => return Ok(Read { events: 0, is_complete: false }),
                Some((head, used)) => {
                    if head.status != 200 {
                        return Err(Fault::Status);
                    }
                    rest = &rest[used..];
                    self.body = Some((head, BodyDecoder::new(head.framing)));
                }
            }
        }
        let mut events = 0;
        let Some((_, decoder)) = &mut self.body else { return Err(Fault::Garbage) };
        while !decoder.is_done() && !rest.is_empty() {
            let (used, data) = decoder.next(rest).map_err(|_| Fault::Garbage)?;
            rest = &rest[used..];
            if self.kind == Kind::Whole {
                let room = START.saturating_sub(self.start.len()).min(data.len());
                self.start.extend_from_slice(&data[..room]);
                self.last = data.last().copied().unwrap_or(self.last);
                continue;
            }
            let (is_done, has_error) = (&mut self.is_done, &mut self.has_error);
            let scanned = self.scanner.feed(data, |event| {
                events += 1;
                *is_done |= event.data == b"[DONE]";
                *has_error |= event.data.starts_with(b"{\"error\"");
                ControlFlow::Continue(())
            });
            let _ = scanned.map_err(|_| Fault::Garbage)?;
        }
        if !decoder.is_done() {
            return Ok(Read { events, is_complete: false });
        }
        if !rest.is_empty() {
            return Err(Fault::Garbage);
        }
        self.verdict().map(|()| Read { events, is_complete: true })
    }

    /// The connection has closed.
    pub fn closed(&self) -> Result<(), Fault> {
        match &self.body {
            Some((_, decoder)) if decoder.at_eof() == BodyEnd::Complete => self.verdict(),
            _ => Err(Fault::Truncated),
        }
    }

    fn verdict(&self) -> Result<(), Fault> {
        match self.kind {
            Kind::Stream if self.has_error => Err(Fault::ErrorEvent),
            Kind::Stream if !self.is_done => Err(Fault::NoDone),
            Kind::Whole if !says_choices(&self.start) || self.last != b'}' => {
                Err(Fault::NoCompletion)
            }
            _ => Ok(()),
        }
    }
}

fn says_choices(start: &[u8]) -> bool {
    start.starts_with(b"{") && memchr::memmem::find(start, b"\"choices\"").is_some()
}
