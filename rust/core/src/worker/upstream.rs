//! What follows from the events of connections to backends: opened, bytes, ends.

use penstock_admission::{Proof, Ticket};

use super::effects::Effects;
use super::faults;
use super::machine::Worker;
use super::state::{ConnectionId, ConnectionState, Request, RequestId};
use crate::exchange::{Ended, Exchange, Failure, Next, Output, Pace, UpstreamEnd};
use crate::metrics::Histogram;
use crate::routing::{BackendIndex, Table};
use crate::time::Now;
use crate::trace::step;

/// KV tokens by which a reservation grows: a few blocks of an engine's cache, so that it grows rarely.
const GROWTH: u64 = 64;

/// What an exchange is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Bytes,
    /// The end of the connection, which does not show that the backend works.
    End,
}

impl Worker {
    /// A connection is open: its request is written.
    pub fn connected(&mut self, io: &mut impl Effects, connection: ConnectionId, now: Now) {
        let Some(one) = self.connections.get(connection) else { return };
        let backend = one.backend;
        let ConnectionState::Connecting(id) = one.state else { return };
        self.current = Some(id);
        self.connections.set_state(connection, ConnectionState::Serving(id));
        self.note_reached(backend, Proof::Connected, now);
        self.send(io, id, now);
        self.arm(id);
        // If this ended an outage, waiting requests may be granted now.
        self.collect(io, now);
        self.check_invariants();
    }

    pub fn connect_failed(
        &mut self,
        io: &mut impl Effects,
        connection: ConnectionId,
        failure: &Failure,
        now: Now,
    ) {
        let Some(ConnectionState::Connecting(id)) = self.connections.state(connection) else {
            return;
        };
        self.current = Some(id);
        self.failed(io, id, failure, UpstreamEnd::Close, now);
        self.collect(io, now);
        self.check_invariants();
    }

    pub fn upstream_bytes(
        &mut self,
        io: &mut impl Effects,
        connection: ConnectionId,
        data: &[u8],
        now: Now,
    ) {
        match self.connections.state(connection) {
            Some(ConnectionState::Serving(id)) => {
                self.feed(io, id, Source::Bytes, now, |exchange, table, out| {
                    faults::check("upstream");
                    exchange.upstream_bytes(table, data, now, out)
                });
            }
            // No request is in hand: these bytes must not become the answer to the next one.
            Some(ConnectionState::Idle) => self.close(io, connection),
            _ => {}
        }
        self.check_invariants();
    }

    /// The backend has closed its side.
    pub fn upstream_eof(&mut self, io: &mut impl Effects, connection: ConnectionId, now: Now) {
        match self.connections.state(connection) {
            Some(ConnectionState::Serving(id)) => {
                self.feed(io, id, Source::End, now, |exchange, table, out| {
                    exchange.upstream_eof(table, now, out)
                });
            }
            Some(ConnectionState::Idle) => self.close(io, connection),
            Some(ConnectionState::Aborting(ticket)) => self.aborted(io, connection, ticket, now),
            Some(ConnectionState::Connecting(_)) | None => {}
        }
        self.check_invariants();
    }

    /// The connection is gone. `broken`: by a reset rather than an orderly end. Its id is not used again.
    pub fn upstream_lost(
        &mut self,
        io: &mut impl Effects,
        connection: ConnectionId,
        broken: bool,
        now: Now,
    ) {
        match self.connections.state(connection) {
            Some(ConnectionState::Serving(id)) => {
                self.feed(io, id, Source::End, now, |exchange, table, out| {
                    if broken {
                        exchange.upstream_lost(table, now, out)
                    } else {
                        exchange.upstream_eof(table, now, out)
                    }
                });
            }
            Some(ConnectionState::Aborting(ticket)) => self.aborted(io, connection, ticket, now),
            Some(ConnectionState::Idle) => {}
            // A connection that was never open cannot be lost.
            Some(ConnectionState::Connecting(_)) | None => return,
        }
        self.close(io, connection);
        self.check_invariants();
    }

    /// Stops reading a backend.
    pub(super) fn pause(&mut self, io: &mut impl Effects, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !matches!(connection.state, ConnectionState::Connecting(_))
            && !std::mem::replace(&mut connection.paused, true)
        {
            io.pause(id);
        }
    }

    /// Resumes reading from a backend. False: reading restarts only after the current event.
    pub(super) fn resume(&mut self, io: &mut impl Effects, id: ConnectionId) -> bool {
        let was_paused = self
            .connections
            .get_mut(id)
            .is_some_and(|connection| std::mem::replace(&mut connection.paused, false));
        !was_paused || io.resume(id)
    }

    /// Passes one input to a request's exchange and carries out the step that it returns.
    fn feed(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        source: Source,
        now: Now,
        feed: impl FnOnce(&mut Exchange, &Table, &mut Output) -> Next,
    ) {
        self.current = Some(id);
        let Some(request) = self.requests.get_mut(id) else { return };
        let (had_begun, pace) = (request.exchange.has_begun(), request.exchange.pace());
        let mut out = Output::new(&mut self.output);
        let table = &request.generation.table;
        let next = step!(id, request, feed(&mut request.exchange, table, &mut out));
        // Fast path: unless the backend is suspected, which is rare, take no lock and do not inspect the answer.
        let is_suspected = |at: BackendIndex| self.admission.load(at).is_suspected;
        let is_news =
            source == Source::Bytes && request.exchange.backend().is_some_and(is_suspected);
        let mut first_of = None;
        if !had_begun {
            if request.exchange.has_begun() || !out.is_empty() {
                self.answered = Some((request.exchange.plan.tier, request.overhead));
            }
            // Where a whole answer is assembled from a stream, the first token comes long before the client gets a byte.
            first_of = request.ticket.filter(|_| pace.pieces == 0 && request.exchange.has_first());
        }
        note_pieces(request, pace, &mut self.gaps, &mut self.growths);
        if is_news {
            self.note_if_answered(id, &next, now);
        }
        if let Some(ticket) = first_of {
            self.admission.first_token(ticket, now.mono);
        }
        self.follow(io, id, next, out, now);
        // The first token of one request may have let others in.
        self.collect(io, now);
    }

    /// Carries out the step that an exchange has returned.
    pub(super) fn follow(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        next: Next,
        out: Output,
        now: Now,
    ) {
        match next {
            Next::Continue => self.go_on(io, id, out),
            Next::Answered => {
                self.finish_client(io, id, out, now);
                if let Some(ticket) = self.requests.get(id).and_then(|request| request.ticket) {
                    self.admission.closing(ticket);
                }
                self.arm(id);
            }
            Next::Ended(Ended { upstream, result }) => {
                self.finish_client(io, id, out, now);
                self.attempt_over(io, id, upstream, result, now);
                self.forget_if_over(id);
            }
            Next::Failed { failure, upstream } => {
                out.give_back(&mut self.output);
                self.failed(io, id, &failure, upstream, now);
            }
        }
    }
}

/// Notes how fast pieces of an answer have come, and whether it needs more KV memory than was reserved.
/// Admission is told of both once a tick.
fn note_pieces(
    request: &mut Request,
    before: Pace,
    gaps: &mut [Histogram],
    growths: &mut Vec<(Ticket, u64)>,
) {
    let after = request.exchange.pace();
    let came = after.pieces - before.pieces;
    if came == 0 {
        return;
    }
    if let Some(backend) = request.exchange.backend()
        && before.pieces > 0
    {
        // Pieces that come in one read were generated one after the other: each counts a part of the time.
        let gap = (after.last - before.last) / came;
        gaps[usize::from(backend)].observe_times(gap, came);
    }
    if after.pieces > request.reserved
        && let Some(ticket) = request.ticket
    {
        request.reserved += GROWTH;
        growths.push((ticket, GROWTH));
    }
}
