//! One attempt at a backend: its response, read in whatever pieces it comes.

use std::borrow::Cow;
use std::ops::ControlFlow;

use penstock_wire::http::{BodyDecoder, BodyEnd, ContentType, ResponseHead, ResponseHeadDecoder};
use penstock_wire::sse::{Event, SseScanner};

use super::failure::{Failure, Progress};
use crate::time::Nanos;

/// What a piece of the response has brought to its end.
#[derive(Debug)]
pub(super) enum Report<'a> {
    /// Nothing yet.
    More,
    /// The stream is over. `reuse`: the connection may carry another request.
    StreamEnd { reuse: bool },
    /// A whole body: an answer, or the text of an error.
    Whole { head: ResponseHead, body: Cow<'a, [u8]>, reuse: bool },
    /// What was being thrown away is over.
    Drained { reuse: bool },
}

#[derive(Debug)]
enum Sink {
    Events(SseScanner),
    Whole(Vec<u8>),
    /// The client has all it needs; the rest is read and dropped.
    Drain,
}

#[derive(Debug)]
enum Phase {
    Head(ResponseHeadDecoder),
    Body { head: ResponseHead, decoder: BodyDecoder, sink: Sink },
}

#[derive(Debug)]
pub(super) struct Attempt {
    phase: Phase,
    stream: bool,
    /// Until when the connection may be found to have been closed before this request.
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

    /// Whether the connection had carried a request before, and its backend may have closed it since.
    pub(super) fn may_be_stale(&self, now: Nanos) -> bool {
        self.stale_until.is_some_and(|until| now < until)
    }

    /// Whether a server has begun to answer. Of a 502, 503 or 504 only the body tells whether it is from one.
    pub(super) fn is_answered(&self) -> bool {
        match &self.phase {
            Phase::Head(_) => false,
            Phase::Body { head, .. } => !matches!(head.status, 502..=504),
        }
    }

    /// From now on everything is dropped up to the end of the message.
    pub(super) fn drain(&mut self) {
        if let Phase::Body { sink, .. } = &mut self.phase {
            *sink = Sink::Drain;
        }
    }

    pub(super) fn feed<'a>(
        &mut self,
        piece: &'a [u8],
        mut visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Report<'a>, Failure> {
        let mut rest = piece;
        // A body that comes whole in one piece is read where it lies.
        let mut in_place = None;
        if let Phase::Head(reader) = &mut self.phase {
            match reader.feed(rest) {
                Ok(None) => return Ok(Report::More),
                Ok(Some((head, used))) => {
                    rest = &rest[used..];
                    self.phase = self.body_of(head);
                }
                Err(_) => return Err(Failure::Garbage { detail: "a malformed head" }),
            }
        }
        let Phase::Body { head, decoder, sink } = &mut self.phase else {
            return Ok(Report::More);
        };
        while !decoder.is_done() {
            if rest.is_empty() {
                return Ok(Report::More);
            }
            let (used, data) = decoder
                .next(rest)
                .map_err(|_| Failure::Garbage { detail: "broken chunk framing" })?;
            rest = &rest[used..];
            match sink {
                Sink::Events(scanner) => match scanner.feed(data, &mut visit) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => *sink = Sink::Drain,
                    Err(_) => return Err(Failure::Garbage { detail: "an oversized event" }),
                },
                Sink::Whole(body) => {
                    if body.len() + data.len() > self.response_limit {
                        return Err(Failure::TooLarge { limit: self.response_limit });
                    }
                    if body.is_empty() && decoder.is_done() {
                        in_place = Some(data);
                    } else {
                        body.extend_from_slice(data);
                    }
                }
                Sink::Drain => {}
            }
        }
        // Bytes behind the end belong to no request: the connection cannot be trusted.
        let reuse = head.keep_alive && rest.is_empty();
        match (self.complete(reuse, visit)?, in_place) {
            (Report::Whole { head, reuse, .. }, Some(data)) => {
                Ok(Report::Whole { head, body: Cow::Borrowed(data), reuse })
            }
            (report, _) => Ok(report),
        }
    }

    /// The backend has closed its side in an orderly way.
    pub(super) fn eof(
        &mut self,
        now: Nanos,
        visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Report<'static>, Failure> {
        match &self.phase {
            Phase::Head(_) => Err(self.reset(now)),
            Phase::Body { decoder, .. } => match decoder.at_eof() {
                BodyEnd::Complete => self.complete(false, visit),
                BodyEnd::Truncated => Err(Failure::Truncated { progress: Progress::Something }),
            },
        }
    }

    /// The connection broke.
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
    ) -> Result<Report<'static>, Failure> {
        let Phase::Body { head, sink, .. } = &mut self.phase else {
            return Ok(Report::More);
        };
        match std::mem::replace(sink, Sink::Drain) {
            Sink::Drain => Ok(Report::Drained { reuse }),
            Sink::Whole(body) => Ok(Report::Whole { head: *head, body: Cow::Owned(body), reuse }),
            Sink::Events(mut scanner) => match scanner.finish(visit) {
                Ok(_) => Ok(Report::StreamEnd { reuse }),
                Err(_) => Err(Failure::Garbage { detail: "an oversized event" }),
            },
        }
    }

    /// Only a good stream is read by events; P14 deals with a whole body in its place.
    fn body_of(&self, head: ResponseHead) -> Phase {
        let events = self.stream && head.is_success() && head.content_type != ContentType::Json;
        let sink = if events {
            Sink::Events(SseScanner::new(self.event_limit))
        } else {
            Sink::Whole(Vec::new())
        };
        Phase::Body { head, decoder: BodyDecoder::new(head.framing), sink }
    }
}
