//! How an attempt ends for its backend: the connection pooled, closed or aborted, the permit given back.

use penstock_admission::{PermitOutcome, Ticket};
use penstock_core::exchange::{AttemptResult, UpstreamEnd};
use penstock_core::time::Now;
use pyo3::prelude::*;

use crate::acts::Act;
use crate::calls::CallKey;
use crate::engine::{Aborting, Engine};
use crate::gateway::Gateway;
use crate::upstream::{Duty, UpstreamConnection};

impl Engine {
    /// The attempt is done with: its connection is put away and its permit goes back, now or when the
    /// backend has really ended.
    pub(super) fn attempt_over(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        if let Some(backend) = call.exchange.backend() {
            self.shard.attempt(backend, result);
        }
        let Some(call) = self.calls.get(key) else { return };
        let (ticket, connection) = (call.ticket.take(), call.upstream.take());
        let outcome = match (upstream, result) {
            (_, AttemptResult::Ok) => PermitOutcome::Success,
            (_, AttemptResult::Cancelled) => PermitOutcome::Ignored,
            _ => PermitOutcome::Dropped,
        };
        let Some(connection) = connection else {
            if let Some(ticket) = ticket {
                self.release(gateway, ticket, outcome, now);
            }
            return;
        };
        let connection = connection.bind(gateway.py());
        if let (UpstreamEnd::Abort, Some(ticket), true) =
            (upstream, ticket, connection.borrow().is_connected())
        {
            return self.abort(gateway.py(), connection, ticket, now);
        }
        self.put_away(gateway.py(), connection, upstream, now);
        if let Some(ticket) = ticket {
            self.release(gateway, ticket, outcome, now);
        }
    }

    /// Half-close, and wait for the backend's end with the permit still taken.
    fn abort(
        &mut self,
        py: Python<'_>,
        connection: &Bound<'_, UpstreamConnection>,
        ticket: Ticket,
        now: Now,
    ) {
        let this = connection.borrow();
        this.set_duty(Duty::Aborting(ticket));
        self.rows[ticket.row as usize] = None;
        self.admission.closing(ticket);
        let methods = [this.flow(py, false), this.method(py, |transport| &transport.half_close)];
        self.acts.extend(methods.into_iter().flatten().map(Act::Call));
        let backend = &self.table.backends[usize::from(this.backend)];
        self.aborting.push(Aborting {
            until: now.mono + backend.abort_grace,
            held_until: now.mono + backend.abort_hold,
            connection: connection.clone().unbind(),
            ticket,
        });
    }

    /// The backend has ended an aborted request.
    pub(super) fn aborted(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &Bound<'_, UpstreamConnection>,
        now: Now,
    ) {
        let Duty::Aborting(ticket) = connection.borrow().duty() else { return };
        let is_it = |aborting: &Aborting| aborting.connection.is(connection);
        let Some(at) = self.aborting.iter().position(is_it) else { return };
        self.close(connection);
        let aborting = &mut self.aborting[at];
        if now.mono < aborting.held_until {
            // Its server closes the connection before its engine has stopped.
            aborting.until = aborting.held_until;
            return;
        }
        self.aborting.swap_remove(at);
        self.release(gateway, ticket, PermitOutcome::Ignored, now);
    }

    /// Back to the pool, or closed.
    pub(super) fn put_away(
        &mut self,
        py: Python<'_>,
        connection: &Bound<'_, UpstreamConnection>,
        upstream: UpstreamEnd,
        now: Now,
    ) {
        let this = connection.borrow();
        // Who answers before it has the whole request may never read the rest.
        let is_sent = this.outlet().is_some_and(|outlet| outlet.is_clear(py));
        // The client may have paused it; an idle connection must notice its backend's close. One that reads
        // again only by an act would be in the pool before that, and might be paused anew by then.
        let is_read = this.flow(py, false).is_none();
        if upstream == UpstreamEnd::Reuse && !self.draining && is_sent && is_read {
            this.set_idle(now.mono);
            self.pool.put(this.backend, connection.clone().unbind(), now.mono);
        } else {
            self.close(connection);
        }
    }

    pub(crate) fn close(&mut self, connection: &Bound<'_, UpstreamConnection>) {
        let (py, this) = (connection.py(), connection.borrow());
        if this.duty() == Duty::Idle {
            self.pool.remove(this.backend, connection.as_unbound());
        }
        this.set_duty(Duty::Closed);
        self.acts.extend(this.abort(py).or_else(|| this.cancel_connecting(py)).map(Act::Call));
    }
}
