//! Writes the client's answer: head, end of stream, whole body.

use penstock_wire::decimal::write_ms;
use penstock_wire::http::{AnswerHead, Framing, ResponseHead};

use super::next::ended_ok;
use super::state::ExchangeState;
use super::{Exchange, Next, UpstreamEnd};
use crate::exchange::attempt::{Attempt, Decoded};
use crate::exchange::client::Client;
use crate::exchange::failure::{Failure, Progress};
use crate::exchange::outcome::Outcome;
use crate::exchange::output::Output;
use crate::exchange::termination::{Term, Where, Who};
use crate::openai::{ApiError, BackendFailure};
use crate::routing::{Plan, Table};
use crate::rules::{BodyFault, Rule};
use crate::time::Now;

impl Exchange {
    /// P14: the first meaningful event has arrived, so the 200 is sent, followed by the buffered events.
    pub(super) fn begin_stream(&mut self, table: &Table, now: Now, out: &mut Output) {
        self.begun = true;
        self.first = Some(now.mono - self.arrived);
        self.plan.free_body();
        let framing = self.framing();
        out.piece(framing);
        out.body().append(&mut self.buffered);
        let head = AnswerHead {
            status: 200,
            content_type: "text/event-stream; charset=utf-8",
            framing,
            keep_alive: self.client.keep_alive,
            http10: self.client.http10,
        };
        out.write_head(&head, now, |lines| {
            self.write_headers(table, lines);
            lines.extend_from_slice(b"cache-control: no-cache\r\nx-accel-buffering: no\r\n");
        });
    }

    pub(super) fn framing(&self) -> Framing {
        framing(&self.client)
    }

    /// The client has its whole answer. `decoded`: whether the backend's message has ended too; `None` if the
    /// connection broke after the answer.
    pub(super) fn answered(
        &mut self,
        mut attempt: Box<Attempt>,
        decoded: Option<&Decoded<'_>>,
        now: Now,
    ) -> Next {
        self.close_record(200, None, Term(Who::Normal, Where::Done), Outcome::Ok, now);
        match decoded {
            None => ended_ok(false),
            Some(Decoded::Drained { reuse } | Decoded::StreamEnd { reuse }) => ended_ok(*reuse),
            Some(_) => {
                attempt.drain();
                self.answered = now.mono;
                self.state = ExchangeState::AwaitingEnd(attempt);
                Next::Answered
            }
        }
    }

    /// A whole body has arrived: an error, the answer, or a JSON answer where a stream was asked for.
    pub(super) fn whole(
        &mut self,
        table: &Table,
        head: ResponseHead,
        body: &[u8],
        reuse: bool,
        now: Now,
        out: &mut Output,
    ) -> Next {
        let upstream = if reuse { UpstreamEnd::Reuse } else { UpstreamEnd::Close };
        if !head.is_success() {
            let failure = BackendFailure::of_response(head.status, body);
            let retry_after = head.retry_after.map(|when| when.seconds(now.unix_seconds()));
            let failure = self.failure_of(table, &failure, retry_after);
            return self.fail(failure, upstream, now, out);
        }
        if self.plan.stream {
            return self.whole_as_stream(table, body, upstream, now, out);
        }
        let Plan { endpoint, .. } = self.plan;
        match endpoint.whole(body, &self.id_and_model, self.plan.asked(), out.body()) {
            Err(fault) => self.fail(self.failure_of_body(table, fault), upstream, now, out),
            Ok(usage) => {
                self.usage = usage;
                self.first = Some(now.mono - self.arrived);
                self.write_whole_head(table, now, out);
                self.close_record(200, None, Term(Who::Normal, Where::Done), Outcome::Ok, now);
                ended_ok(reuse)
            }
        }
    }

    /// P14: converts a JSON answer on status 200 to the stream that the client asked for.
    fn whole_as_stream(
        &mut self,
        table: &Table,
        body: &[u8],
        upstream: UpstreamEnd,
        now: Now,
        out: &mut Output,
    ) -> Next {
        self.rules.hit(Rule::P14);
        let mut failure = None;
        let Some(streaming) = self.plan.endpoint.streaming() else {
            return self.fail(Failure::Internal, upstream, now, out);
        };
        let split = streaming.stream_of(body, self.plan.asked(), &mut |chunk| {
            if failure.is_none() {
                failure = self.event(chunk, table, now, out).err();
            }
        });
        let failure = match split {
            Err(fault) => Some(self.failure_of_body(table, fault)),
            Ok(()) => failure.or_else(|| self.finish_stream(out).err()),
        };
        if let Some(failure) = failure {
            return self.fail(failure, upstream, now, out);
        }
        self.close_record(200, None, Term(Who::Normal, Where::Done), Outcome::Ok, now);
        ended_ok(upstream == UpstreamEnd::Reuse)
    }

    fn failure_of_body(&self, table: &Table, fault: BodyFault) -> Failure {
        match fault {
            BodyFault::Garbage { detail } => Failure::Garbage { detail },
            BodyFault::Truncated => Failure::Truncated { progress: Progress::Something },
            BodyFault::MissingChoices { got } => {
                Failure::IgnoredChoices { asked: self.plan.n, got }
            }
            BodyFault::Failure(reported) => self.failure_of(table, &reported, None),
        }
    }

    /// Writes the head of a whole answer, whose body is in `out`.
    #[inline]
    pub(super) fn write_whole_head(&self, table: &Table, now: Now, out: &mut Output) {
        let head = AnswerHead {
            status: 200,
            content_type: "application/json",
            framing: Framing::Length(out.body().len() as u64),
            keep_alive: self.client.keep_alive,
            http10: self.client.http10,
        };
        out.write_head(&head, now, |lines| self.write_headers(table, lines));
    }

    /// Ends a stream after its head was sent: one error event, then the end, without a terminal event.
    pub(super) fn write_error_event(&self, error: &ApiError, out: &mut Output) {
        self.plan.endpoint.write_error_event(error, out.body());
        out.piece(self.framing());
        out.end_stream();
    }

    /// Appends the header lines with the names of tier and backend.
    pub(super) fn write_names(&self, table: &Table, lines: &mut Vec<u8>) {
        write_line(b"x-penstock-tier: ", &self.tier(table).name, lines);
        if let Some(backend) = self.served.backend {
            write_line(b"x-penstock-backend: ", &table.backends[usize::from(backend)].name, lines);
        }
    }

    /// Appends the header lines of a successful answer, without the framing.
    fn write_headers(&self, table: &Table, lines: &mut Vec<u8>) {
        self.write_names(table, lines);
        write_line(b"x-request-id: ", &self.client.request_id, lines);
        lines.extend_from_slice(&self.client.headers);
        lines.extend_from_slice(b"server-timing: queue;dur=");
        write_ms(self.queued.unwrap_or(0), lines);
        lines.extend_from_slice(b", first;dur=");
        write_ms(self.first.unwrap_or(0), lines);
        lines.extend_from_slice(b"\r\n");
        if !self.plan.warnings.is_empty() {
            let texts: Vec<&str> =
                self.plan.warnings.iter().map(|warning| warning.text()).collect();
            write_line(b"x-penstock-warning: ", &texts.join(", "), lines);
        }
    }
}

#[inline]
fn write_line(name: &[u8], value: &str, lines: &mut Vec<u8>) {
    lines.extend_from_slice(name);
    lines.extend_from_slice(value.as_bytes());
    lines.extend_from_slice(b"\r\n");
}

/// How a stream is framed for this client.
pub(super) fn framing(client: &Client) -> Framing {
    if client.http10 { Framing::UntilClose } else { Framing::Chunked }
}
