//! How an attempt ends for its backend: the connection pooled, closed or aborted, the permit given back.

use penstock_admission::{PermitOutcome, Ticket};

use super::effects::Effects;
use super::faults;
use super::machine::Worker;
use super::state::{Aborting, ConnectionId, ConnectionState, RequestId};
use crate::exchange::{AttemptResult, UpstreamEnd};
use crate::time::Now;

impl Worker {
    /// The attempt is over: its connection is pooled, closed or half-closed, and its permit released, at once
    /// or when the backend has stopped.
    pub(super) fn attempt_over(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if let Some(backend) = request.exchange.backend() {
            self.shard.attempt(backend, result);
        }
        let (ticket, connection) = (request.ticket.take(), request.connection.take());
        let outcome = match (upstream, result) {
            (_, AttemptResult::Ok) => PermitOutcome::Success,
            (_, AttemptResult::Cancelled) => PermitOutcome::Ignored,
            _ => PermitOutcome::Dropped,
        };
        if let Some(connection) = connection {
            let is_open =
                matches!(self.connections.state(connection), Some(ConnectionState::Serving(_)));
            if let (UpstreamEnd::Abort, Some(ticket), true) = (upstream, ticket, is_open) {
                return self.abort(io, id, connection, ticket, now);
            }
            self.put_away(io, connection, upstream, now);
        }
        if let Some(ticket) = ticket {
            self.release(io, ticket, outcome, now);
        }
    }

    /// Gives the permit back and starts whoever has waited for it.
    pub(super) fn release(
        &mut self,
        io: &mut impl Effects,
        ticket: Ticket,
        outcome: PermitOutcome,
        now: Now,
    ) {
        faults::check("release");
        self.rows[ticket.row as usize] = None;
        self.admission.release(ticket, outcome, now.mono);
        self.collect(io, now);
    }

    /// Half-close, and wait for the backend's end with the permit still taken.
    fn abort(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        connection: ConnectionId,
        ticket: Ticket,
        now: Now,
    ) {
        let Some(request) = self.requests.get(id) else { return };
        let Some(backend) = request.exchange.backend() else { return };
        let backend = &request.generation.table.backends[usize::from(backend)];
        self.aborting.push(Aborting {
            until: now.mono + backend.abort_grace,
            held_until: now.mono + backend.abort_hold,
            connection,
            ticket,
        });
        self.connections.set_state(connection, ConnectionState::Aborting(ticket));
        self.rows[ticket.row as usize] = None;
        self.admission.closing(ticket);
        self.resume(io, connection);
        io.half_close(connection);
    }

    /// The backend has ended an aborted request.
    pub(super) fn aborted(
        &mut self,
        io: &mut impl Effects,
        connection: ConnectionId,
        ticket: Ticket,
        now: Now,
    ) {
        let is_it = |aborting: &Aborting| aborting.connection == connection;
        let Some(at) = self.aborting.iter().position(is_it) else { return };
        self.close(io, connection);
        let aborting = &mut self.aborting[at];
        if now.mono < aborting.held_until {
            // Its server closes the connection before its engine has stopped.
            aborting.until = aborting.held_until;
            return;
        }
        self.aborting.swap_remove(at);
        self.release(io, ticket, PermitOutcome::Ignored, now);
    }

    /// Releases the permits whose grace is over.
    pub(super) fn end_overdue_aborts(&mut self, io: &mut impl Effects, now: Now) {
        let overdue = |aborting: &Aborting| aborting.until <= now.mono;
        while let Some(at) = self.aborting.iter().position(overdue) {
            let Aborting { connection, ticket, .. } = self.aborting.swap_remove(at);
            self.close(io, connection);
            self.release(io, ticket, PermitOutcome::Ignored, now);
        }
    }

    /// Puts a connection back into the pool, or closes it.
    pub(super) fn put_away(
        &mut self,
        io: &mut impl Effects,
        id: ConnectionId,
        upstream: UpstreamEnd,
        now: Now,
    ) {
        let may_carry_another = upstream == UpstreamEnd::Reuse
            && !self.is_draining
            // A backend that answers before it has read the whole request may never read the rest.
            && io.is_flushed(id)
            // It may be paused for its client, and an idle connection must notice that its backend closes. If
            // it can be resumed only after this event, it may have another request by then, and be paused for
            // that one.
            && self.resume(io, id);
        match self.connections.get_mut(id) {
            Some(connection) if may_carry_another => {
                connection.last_use = Some(now.mono);
                self.pool.put(connection.backend, id, now.mono);
                self.connections.set_state(id, ConnectionState::Idle);
            }
            _ => self.close(io, id),
        }
    }

    pub(super) fn close(&mut self, io: &mut impl Effects, id: ConnectionId) {
        let Some(connection) = self.connections.remove(id) else { return };
        if connection.state == ConnectionState::Idle {
            self.pool.remove(connection.backend, id);
        }
        io.close(id);
    }
}
