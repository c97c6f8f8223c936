//! Input from the backend: bytes, events, end of file, reset.

use std::ops::ControlFlow;

use super::answer::framing;
use super::next::ended_ok;
use super::state::{AnswerMode, ExchangeState};
use super::{Exchange, Next, UpstreamEnd};
use crate::exchange::attempt::{Attempt, Decoded};
use crate::exchange::failure::{Failure, Progress};
use crate::exchange::output::Output;
use crate::openai::{BackendFailure, Verdict};
use crate::routing::Table;
use crate::rules::{Rule, StreamEvent};
use crate::time::Now;

impl Exchange {
    /// Bytes from the backend.
    pub fn upstream_bytes(
        &mut self,
        table: &Table,
        piece: &[u8],
        now: Now,
        out: &mut Output,
    ) -> Next {
        self.read(table, now, out, |attempt, visit| attempt.feed(piece, visit))
    }

    /// The backend has closed its side.
    pub fn upstream_eof(&mut self, table: &Table, now: Now, out: &mut Output) -> Next {
        self.read(table, now, out, |attempt, visit| attempt.eof(now.mono, visit))
    }

    /// The connection to the backend was reset.
    pub fn upstream_lost(&mut self, table: &Table, now: Now, out: &mut Output) -> Next {
        self.read(table, now, out, |attempt, _| Err(attempt.reset(now.mono)))
    }

    fn read<'a>(
        &mut self,
        table: &Table,
        now: Now,
        out: &mut Output,
        step: impl FnOnce(
            &mut Attempt,
            &mut dyn FnMut(penstock_wire::sse::Event<'_>) -> ControlFlow<()>,
        ) -> Result<Decoded<'a>, Failure>,
    ) -> Next {
        let mut attempt = match std::mem::replace(&mut self.state, ExchangeState::Over) {
            ExchangeState::Attempting(attempt) => attempt,
            ExchangeState::AwaitingEnd(mut attempt) => {
                return match step(&mut attempt, &mut |_| ControlFlow::Continue(())) {
                    Ok(Decoded::More) => {
                        self.state = ExchangeState::AwaitingEnd(attempt);
                        Next::Continue
                    }
                    Ok(Decoded::Drained { reuse }) => ended_ok(reuse),
                    Ok(_) | Err(_) => ended_ok(false),
                };
            }
            state => {
                self.state = state;
                return Next::Continue;
            }
        };
        // Set by the event that ends the scan.
        let mut done = false;
        let mut failure = None;
        let decoded =
            step(&mut attempt, &mut |event| match self.event(event.data, table, now, out) {
                Ok(false) => ControlFlow::Continue(()),
                Ok(true) => {
                    done = true;
                    ControlFlow::Break(())
                }
                Err(found) => {
                    failure = Some(found);
                    ControlFlow::Break(())
                }
            });
        if done {
            return self.answered(attempt, decoded.ok().as_ref(), now);
        }
        if let Some(failure) = failure {
            // A backend may keep sending after an error event or garbage.
            let over = matches!(decoded, Ok(Decoded::Drained { .. } | Decoded::StreamEnd { .. }));
            let upstream = if over { UpstreamEnd::Close } else { UpstreamEnd::Abort };
            let failure = match (failure, decoded) {
                // An incomplete last event: the stream was truncated, not malformed (P13).
                (Failure::Garbage { .. }, Ok(Decoded::StreamEnd { .. })) => {
                    Failure::Truncated { progress: Progress::Something }
                }
                (failure, _) => failure,
            };
            return self.fail(failure, upstream, now, out);
        }
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(failure) => {
                let over = matches!(failure, Failure::Reset { .. } | Failure::Truncated { .. });
                let upstream = if over { UpstreamEnd::Close } else { UpstreamEnd::Abort };
                return self.fail(failure, upstream, now, out);
            }
        };
        match decoded {
            Decoded::More => {
                self.state = ExchangeState::Attempting(attempt);
                Next::Continue
            }
            Decoded::Whole { head, .. }
                if head.status == 408 && !head.keep_alive && attempt.may_be_stale(now.mono) =>
            {
                // RFC 9110 §15.5.9: the server closed the connection as idle and did not read the request.
                let failure = Failure::Reset { progress: Progress::Nothing, stale: true };
                self.fail(failure, UpstreamEnd::Close, now, out)
            }
            Decoded::Whole { head, body, reuse } => self.whole(table, head, &body, reuse, now, out),
            Decoded::StreamEnd { .. } | Decoded::Drained { .. } => {
                // No `[DONE]`: complete if every choice has finished (P12), else truncated (P13).
                match self.finish(table, now, out) {
                    Ok(()) => {
                        self.rules.hit(Rule::P12);
                        self.answered(attempt, Some(&decoded), now)
                    }
                    Err(failure) => self.fail(failure, UpstreamEnd::Close, now, out),
                }
            }
        }
    }

    /// Handles one event of the stream. Returns true when the answer is complete.
    pub(super) fn event(
        &mut self,
        data: &[u8],
        table: &Table,
        now: Now,
        out: &mut Output,
    ) -> Result<bool, Failure> {
        let AnswerMode::Stream(rules) = &mut self.mode else {
            return self.assembled_event(data, table, now, out);
        };
        let text = if self.begun {
            // Each write is one HTTP chunk.
            out.piece(framing(&self.client));
            out.body()
        } else {
            &mut self.buffered
        };
        let event = rules
            .event(data, text)
            .map_err(|_| Failure::Garbage { detail: "an event that is no chunk" })?;
        match event {
            StreamEvent::Swallowed => {}
            // Timers measure progress of the answer, so comments and empty events do not extend them.
            StreamEvent::KeepAlive => return Ok(false),
            StreamEvent::Chunk { meaningful } => {
                if meaningful {
                    if self.begun {
                        self.gaps.observe(now.mono - self.last_piece);
                    } else {
                        self.begin_stream(table, now, out);
                    }
                    self.last_piece = now.mono;
                    self.pieces += 1;
                }
                if self.buffered.len() > table.event_limit {
                    return Err(Failure::Garbage { detail: "too much before the first answer" });
                }
            }
            StreamEvent::Done => {
                self.finish_stream(out)?;
                return Ok(true);
            }
            StreamEvent::Failure(failure) => {
                if !self.begun {
                    self.rules.hit(Rule::P14);
                }
                return Err(self.failure_of(table, &failure, None));
            }
        }
        self.last_event = now.mono;
        Ok(false)
    }

    /// Classifies a failure that the backend reports.
    pub(super) fn failure_of(
        &self,
        table: &Table,
        reported: &BackendFailure,
        retry_after: Option<u32>,
    ) -> Failure {
        // Unreachable: nothing is read before a backend was granted.
        let Some(backend) = self.served_by(table) else { return Failure::Internal };
        match reported.verdict(backend.profile, retry_after.is_some()) {
            Verdict::Client(error) => Failure::Refused { error },
            Verdict::Full => Failure::Full { retry_after },
            Verdict::Loading => Failure::Loading,
            Verdict::Fault { error, status } => Failure::Fault { error, status },
            Verdict::Unavailable { error, status } => Failure::Unavailable { error, status },
        }
    }
}
