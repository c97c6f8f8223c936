//! What follows from the events of a call: bytes, ends, a client that leaves.

use penstock_admission::Proof;
use penstock_core::exchange::{
    AttemptResult, Ended, Exchange, Failure, Next, Output, Pace, UpstreamEnd,
};
use penstock_core::routing::{BackendIndex, Table};
use penstock_core::time::Now;
use pyo3::prelude::*;

use crate::acts::Act;
use crate::calls::CallKey;
use crate::engine::Engine;
use crate::faults;
use crate::gateway::Gateway;
use crate::upstream::{Duty, UpstreamConnection};

/// KV tokens by which a reservation grows: a few blocks of an engine's cache, so that telling it is
/// rare.
const GROWTH: u64 = 64;

/// What an exchange is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Bytes,
    /// The end of the connection, which is no sign of life.
    End,
}

impl Engine {
    /// A connection is open: its request is written, or it joins the pool.
    pub(crate) fn connected(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &Bound<'_, UpstreamConnection>,
        now: Now,
    ) {
        let this = connection.borrow();
        self.note_reached(this.backend, Proof::Connected, now);
        match this.duty() {
            Duty::Serving(key) if self.calls.get(key).is_some() => {
                self.send(connection.py(), key, now);
                self.arm(key);
            }
            Duty::Serving(_) | Duty::Idle => {
                this.set_idle(now.mono);
                self.pool.put(this.backend, connection.clone().unbind(), now.mono);
            }
            // There is none of either before it is connected.
            Duty::Aborting(_) | Duty::Closed => {}
        }
        // The end of an outage lets others in.
        self.collect(gateway, now);
    }

    pub(crate) fn connect_failed(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &UpstreamConnection,
        failure: &Failure,
        now: Now,
    ) {
        let Duty::Serving(key) = connection.duty() else { return };
        connection.set_duty(Duty::Closed);
        if self.calls.get(key).is_some() {
            self.failed(gateway, key, failure, UpstreamEnd::Close, now);
        } else {
            self.note_fault(connection.backend, failure, now);
        }
        self.collect(gateway, now);
    }

    pub(crate) fn upstream_data(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &Bound<'_, UpstreamConnection>,
        data: &[u8],
        now: Now,
    ) {
        match connection.borrow().duty() {
            Duty::Serving(key) => {
                self.feed(gateway, key, Source::Bytes, now, |exchange, table, out| {
                    faults::check("upstream");
                    exchange.upstream_bytes(table, data, now, out)
                });
            }
            // Nobody asked: whatever it is, it must not become the next request's answer.
            Duty::Idle => self.close(connection),
            Duty::Aborting(_) | Duty::Closed => {}
        }
    }

    pub(crate) fn upstream_eof(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &Bound<'_, UpstreamConnection>,
        now: Now,
    ) {
        match connection.borrow().duty() {
            Duty::Serving(key) => {
                self.feed(gateway, key, Source::End, now, |exchange, table, out| {
                    exchange.upstream_eof(table, now, out)
                });
            }
            Duty::Idle => self.close(connection),
            Duty::Aborting(_) => self.aborted(gateway, connection, now),
            Duty::Closed => {}
        }
    }

    /// The transport is gone. `broken`: by a reset rather than an orderly end.
    pub(crate) fn upstream_lost(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &Bound<'_, UpstreamConnection>,
        broken: bool,
        now: Now,
    ) {
        let duty = connection.borrow().duty();
        match duty {
            Duty::Serving(key) => {
                self.feed(gateway, key, Source::End, now, |exchange, table, out| {
                    if broken {
                        exchange.upstream_lost(table, now, out)
                    } else {
                        exchange.upstream_eof(table, now, out)
                    }
                });
            }
            Duty::Idle => self.pool.remove(connection.borrow().backend, connection.as_unbound()),
            Duty::Aborting(_) => self.aborted(gateway, connection, now),
            Duty::Closed => {}
        }
        connection.borrow().set_duty(Duty::Closed);
    }

    /// Feeds a call's exchange and does what it says.
    fn feed(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        source: Source,
        now: Now,
        step: impl FnOnce(&mut Exchange, &Table, &mut Output) -> Next,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        let (had_begun, pace) = (call.exchange.has_begun(), call.exchange.pace());
        let mut out = Output::new(&mut self.memory);
        let next = step(&mut call.exchange, &self.table, &mut out);
        // Nearly always all is well, and to see that takes no lock and no look at what has come.
        let is_suspected = |at: BackendIndex| self.admission.load(at).is_suspected;
        let is_news = source == Source::Bytes && call.exchange.backend().is_some_and(is_suspected);
        let mut ticket = None;
        if !had_begun {
            if call.exchange.has_begun() || !out.is_empty() {
                self.answered = Some((call.exchange.plan.tier, call.overhead));
            }
            // Where a whole answer comes as a stream, long before the client has anything.
            ticket = call.ticket.filter(|_| pace.pieces == 0 && call.exchange.has_first());
        }
        if is_news {
            self.note_if_answered(key, &next, now);
        }
        if let Some(ticket) = ticket {
            self.admission.first_token(ticket, now.mono);
        }
        self.note_pieces(key, pace);
        self.follow(gateway, key, next, out, now);
        // A first token may have let others in.
        self.collect(gateway, now);
    }

    /// Pieces of an answer have come: how fast, and whether it is longer than expected and needs
    /// more KV memory. Both are told once a tick.
    fn note_pieces(&mut self, key: CallKey, before: Pace) {
        let Some(call) = self.calls.get(key) else { return };
        let after = call.exchange.pace();
        let came = after.pieces - before.pieces;
        if came == 0 {
            return;
        }
        if let Some(backend) = call.exchange.backend()
            && before.pieces > 0
        {
            // What one read brings was made one after the other.
            let gap = (after.last - before.last) / came;
            self.gaps[usize::from(backend)].observe_times(gap, came);
        }
        if after.pieces > call.reserved
            && let Some(ticket) = call.ticket
        {
            call.reserved += GROWTH;
            self.growths.push((ticket, GROWTH));
        }
    }

    pub(super) fn follow(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        next: Next,
        out: Output,
        now: Now,
    ) {
        match next {
            Next::Continue => {
                self.flush(gateway.py(), key, out);
                self.arm(key);
            }
            Next::Answered => {
                self.finish_client(gateway.py(), key, out);
                if let Some(ticket) = self.calls.get(key).and_then(|call| call.ticket) {
                    self.admission.closing(ticket);
                }
                self.arm(key);
            }
            Next::Ended(Ended { upstream, result }) => {
                self.finish_client(gateway.py(), key, out);
                self.attempt_over(gateway, key, upstream, result, now);
                self.forget_if_over(key);
            }
            Next::Failed { failure, upstream } => {
                out.give_back(&mut self.memory);
                self.failed(gateway, key, &failure, upstream, now);
            }
        }
    }

    /// The client has left, at any moment.
    pub(crate) fn client_gone(&mut self, gateway: &Bound<'_, Gateway>, key: CallKey, now: Now) {
        let Some(call) = self.calls.get(key) else { return };
        if call.client.take().is_none() {
            return;
        }
        call.exchange.client_gone(now);
        let waiting = call.exchange.is_queued();
        self.close_record(key);
        if waiting {
            self.leave_queue(key, now);
        } else {
            self.attempt_over(gateway, key, UpstreamEnd::Abort, AttemptResult::Cancelled, now);
        }
        self.forget_if_over(key);
        self.collect(gateway, now);
    }

    /// Takes a waiting call out of the queue.
    pub(super) fn leave_queue(&mut self, key: CallKey, now: Now) {
        if let Some(ticket) = self.calls.get(key).and_then(|call| call.ticket.take()) {
            self.rows[ticket.row as usize] = None;
            self.admission.cancel(ticket, now.mono);
        }
    }

    /// The client's transport is full, or has room again.
    pub(crate) fn client_flow(&mut self, py: Python<'_>, key: CallKey, full: bool, now: Now) {
        let Some(call) = self.calls.get(key) else { return };
        if call.client.is_none() {
            return;
        }
        if full {
            call.exchange.pause();
        } else {
            call.exchange.resume(now);
        }
        let upstream = call.upstream.as_ref();
        let method = upstream.and_then(|connection| connection.borrow(py).flow(py, full));
        self.acts.extend(method.map(Act::Call));
        self.arm(key);
    }
}
