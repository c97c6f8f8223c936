//! One attempt at a backend: decodes its HTTP response incrementally.

use std::borrow::Cow;
use std::ops::ControlFlow;

use penstock_wire::http::{BodyDecoder, BodyEnd, ContentType, ResponseHead, ResponseHeadDecoder};
use penstock_wire::sse::{Event, SseScanner};

use super::failure::{Failure, Progress};
use crate::time::Nanos;

/// What decoding a piece of the response has completed.
#[derive(Debug)]
pub(super) enum Decoded<'a> {
    /// Nothing yet: more bytes are needed.
    More,
    /// The stream is over. `reuse`: the connection may carry another request.
    StreamEnd { reuse: bool },
    /// A whole body: an answer, or the text of an error.
    Whole { head: ResponseHead, body: Cow<'a, [u8]>, reuse: bool },
    /// The discarded rest of the message has ended.
    Drained { reuse: bool },
}

#[derive(Debug)]
enum BodySink {
    Events(SseScanner),
    Whole(Vec<u8>),
    /// The client has its answer; the rest of the message is read and discarded.
    Drain,
}

#[derive(Debug)]
enum Phase {
    Head(ResponseHeadDecoder),
    Body { head: ResponseHead, decoder: BodyDecoder, sink: BodySink },
}

#[derive(Debug)]
pub(super) struct Attempt {
    phase: Phase,
    stream: bool,
    /// Set on a reused connection: until then, the backend may have closed it as idle before this request arrived.
    stale_until: Option<Nanos>,
    event_limit: usize,
    response_limit: usize,
}

impl Attempt {
    pub(super) fn new(
        stream: bool,
        stale_until: Option<Nanos>,
        event_limit: usize,
        response_limit: usize,
    ) -> Self {
        let phase = Phase::Head(ResponseHeadDecoder::default());
        Attempt { phase, stream, stale_until, event_limit, response_limit }
    }

    /// Whether this is a reused connection that the backend may have closed while it was idle.
    pub(super) fn may_be_stale(&self, now: Nanos) -> bool {
        self.stale_until.is_some_and(|until| now < until)
    }

    /// Whether the model server has begun to answer. A 502, 503 or 504 may come from a proxy in front of it, which only
    /// the body shows.
    pub(super) fn is_answered(&self) -> bool {
        match &self.phase {
            Phase::Head(_) => false,
            Phase::Body { head, .. } => !matches!(head.status, 502..=504),
        }
    }

    /// Discards everything from now on, up to the end of the message.
    pub(super) fn drain(&mut self) {
        if let Phase::Body { sink, .. } = &mut self.phase {
            *sink = BodySink::Drain;
        }
    }

    pub(super) fn feed<'a>(
        &mut self,
        piece: &'a [u8],
        mut visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Decoded<'a>, Failure> {
        let mut rest = piece;
        // A body that arrives in one piece is borrowed, not copied.
        let mut in_place = None;
        if let Phase::Head(reader) = &mut self.phase {
            match reader.feed(rest) {
                Ok(None) => return Ok(Decoded::More),
                Ok(Some((head, used))) => {
                    rest = &rest[used..];
                    self.phase = self.body_of(head);
                }
                Err(_) => return Err(Failure::Garbage { detail: "a malformed head" }),
            }
        }
        let Phase::Body { head, decoder, sink } = &mut self.phase else {
            return Ok(Decoded::More);
        };
        while !decoder.is_done() {
            if rest.is_empty() {
                return Ok(Decoded::More);
            }
            let (used, data) = decoder
                .next(rest)
                .map_err(|_| Failure::Garbage { detail: "broken chunk framing" })?;
            rest = &rest[used..];
            match sink {
                BodySink::Events(scanner) => match scanner.feed(data, &mut visit) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => *sink = BodySink::Drain,
                    Err(_) => return Err(Failure::Garbage { detail: "an oversized event" }),
                },
                BodySink::Whole(body) => {
                    if body.len() + data.len() > self.response_limit {
                        return Err(Failure::TooLarge { limit: self.response_limit });
                    }
                    if body.is_empty() && decoder.is_done() {
                        in_place = Some(data);
                    } else {
                        body.extend_from_slice(data);
                    }
                }
                BodySink::Drain => {}
            }
        }
        // Bytes after the end of the message belong to no request, so the connection is not reused.
        let reuse = head.keep_alive && rest.is_empty();
        match (self.complete(reuse, visit)?, in_place) {
            (Decoded::Whole { head, reuse, .. }, Some(data)) => {
                Ok(Decoded::Whole { head, body: Cow::Borrowed(data), reuse })
            }
            (decoded, _) => Ok(decoded),
        }
    }

    /// The backend has closed its side (FIN).
    pub(super) fn eof(
        &mut self,
        now: Nanos,
        visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Decoded<'static>, Failure> {
        match &self.phase {
            Phase::Head(_) => Err(self.reset(now)),
            Phase::Body { decoder, .. } => match decoder.at_eof() {
                BodyEnd::Complete => self.complete(false, visit),
                BodyEnd::Truncated => Err(Failure::Truncated { progress: Progress::Something }),
            },
        }
    }

    /// The connection was reset.
    pub(super) fn reset(&self, now: Nanos) -> Failure {
        let progress = match &self.phase {
            Phase::Head(reader) if reader.is_empty() => Progress::Nothing,
            _ => Progress::Something,
        };
        Failure::Reset { progress, stale: self.may_be_stale(now) }
    }

    fn complete(
        &mut self,
        reuse: bool,
        visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Decoded<'static>, Failure> {
        let Phase::Body { head, sink, .. } = &mut self.phase else {
            return Ok(Decoded::More);
        };
        match std::mem::replace(sink, BodySink::Drain) {
            BodySink::Drain => Ok(Decoded::Drained { reuse }),
            BodySink::Whole(body) => {
                Ok(Decoded::Whole { head: *head, body: Cow::Owned(body), reuse })
            }
            BodySink::Events(mut scanner) => match scanner.finish(visit) {
                Ok(_) => Ok(Decoded::StreamEnd { reuse }),
                Err(_) => Err(Failure::Garbage { detail: "an oversized event" }),
            },
        }
    }

    /// Only a successful stream is read as events. Errors and JSON sent instead of a stream (P14) are read whole.
    fn body_of(&self, head: ResponseHead) -> Phase {
        let events = self.stream && head.is_success() && head.content_type != ContentType::Json;
        let sink = if events {
            BodySink::Events(SseScanner::new(self.event_limit))
        } else {
            BodySink::Whole(Vec::new())
        };
        Phase::Body { head, decoder: BodyDecoder::new(head.framing), sink }
    }
}
