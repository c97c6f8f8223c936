//! What follows from the events of a call: bytes, ends, failures, time.

use penstock_core::admission::{Health, Outcome as PermitOutcome, Ticket};
use penstock_core::exchange::{Ended, Failure, Next, Retry, Term, UpstreamEnd, Where, Who};
use penstock_core::openai::{ApiError, Code};
use penstock_core::routing::Profile;
use penstock_core::time::{MILLISECOND, Nanos, Now};
use pyo3::prelude::*;

use crate::acts::Act;
use crate::calls::CallKey;
use crate::engine::{Aborting, Engine};
use crate::faults;
use crate::gateway::Gateway;
use crate::upstream::{Duty, UpstreamConnection};

/// Most attempts of one request (research/reliability-and-ux.md §1.4).
const MAX_ATTEMPTS: u32 = 2;
/// How long a backend that bounced a request gets none (research/scheduling.md §2.3: 50-200 ms).
const BOUNCE_PAUSE: Nanos = 100 * MILLISECOND;

impl Engine {
    /// A connection is open: its request is written, or it joins the pool.
    pub(crate) fn connected(&mut self, connection: &Bound<'_, UpstreamConnection>, now: Now) {
        let this = connection.borrow();
        self.connect_failures[usize::from(this.backend)] = 0;
        match this.duty() {
            Duty::Serving(key) if self.calls.get(key).is_some() => {
                self.send(connection.py(), key, now);
                self.arm(key);
            }
            Duty::Serving(_) | Duty::Idle => {
                this.set_duty(Duty::Idle);
                self.pool.put(this.backend, connection.clone().unbind(), now.mono);
            }
            Duty::Aborting(_) | Duty::Closed => self.close(connection),
        }
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
        self.backend_failed_to_connect(connection.backend, now);
        if self.calls.get(key).is_some() {
            self.failed(gateway, key, failure, UpstreamEnd::Close, now);
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
            Duty::Serving(key) => self.feed(gateway, key, now, |engine, now| {
                faults::check();
                let Engine { calls, table, output, .. } = engine;
                let call = calls.get(key)?;
                Some(call.exchange.upstream_bytes(table, data, now, output))
            }),
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
            Duty::Serving(key) => self.feed(gateway, key, now, |engine, now| {
                let Engine { calls, table, output, .. } = engine;
                let call = calls.get(key)?;
                Some(call.exchange.upstream_eof(table, now, output))
            }),
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
                self.feed(gateway, key, now, |engine, now| {
                    let Engine { calls, table, output, .. } = engine;
                    let exchange = &mut calls.get(key)?.exchange;
                    Some(if broken {
                        exchange.upstream_lost(table, now, output)
                    } else {
                        exchange.upstream_eof(table, now, output)
                    })
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
        now: Now,
        step: impl FnOnce(&mut Engine, Now) -> Option<Next>,
    ) {
        let had_begun = self.calls.get(key).is_some_and(|call| call.exchange.has_begun());
        let Some(next) = step(self, now) else { return };
        if let Some(call) = self.calls.get(key)
            && !had_begun
            && (call.exchange.has_begun() || !self.output.is_empty())
        {
            self.answered = Some((call.exchange.plan.tier, call.overhead));
            if let Some(ticket) = call.ticket {
                self.admission.first_token(ticket);
            }
        }
        self.follow(gateway, key, next, now);
    }

    fn follow(&mut self, gateway: &Bound<'_, Gateway>, key: CallKey, next: Next, now: Now) {
        match next {
            Next::Continue => {
                self.flush(gateway.py(), key);
                self.arm(key);
            }
            Next::Answered => {
                self.finish_client(gateway.py(), key);
                if let Some(ticket) = self.calls.get(key).and_then(|call| call.ticket) {
                    self.admission.closing(ticket);
                }
                self.arm(key);
            }
            Next::Ended(Ended { upstream, result }) => {
                self.finish_client(gateway.py(), key);
                self.attempt_over(gateway, key, upstream, result, now);
                self.forget_if_over(key);
            }
            Next::Failed { failure, upstream } => {
                self.failed(gateway, key, &failure, upstream, now);
            }
        }
    }

    /// An attempt has failed before the client had anything: again, elsewhere, or not.
    fn failed(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        failure: &Failure,
        upstream: UpstreamEnd,
        now: Now,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        if call.exchange.is_queued() {
            // The total time ran out in the queue.
            self.leave_queue(key, now);
            let error = failure.error();
            self.end_with(gateway.py(), key, &error, Term(Who::Gateway, Where::Queue), now);
            return self.collect(gateway, now);
        }
        let Some(backend) = call.exchange.backend() else { return };
        if failure.may_be_poison() {
            self.quarantine.killed(call.exchange.plan.prompt_bytes(), now.mono);
        }
        let result = failure.attempt_result();
        match failure.retry() {
            Retry::SameBackend => {
                // The permit stays: nothing has begun on the backend.
                self.registry.attempt(backend, result);
                self.drop_upstream(gateway.py(), key);
                return self.connect_again(gateway, key, now);
            }
            Retry::Bounce => {
                if self.bounce(gateway, key, upstream, now) {
                    return;
                }
            }
            Retry::Never => {}
            kind @ (Retry::OtherBackend | Retry::Budgeted | Retry::BudgetedIfInstant) => {
                if matches!(failure, Failure::Loading) {
                    self.admission.set_health(backend, Health::Down, now.mono);
                }
                if self.retry_elsewhere(gateway, key, kind, upstream, result, now) {
                    return;
                }
            }
        }
        let Some(call) = self.calls.get(key) else { return };
        call.exchange.give_up(&self.table, failure, now, &mut self.output);
        self.finish_client(gateway.py(), key);
        self.attempt_over(gateway, key, upstream, result, now);
        self.forget_if_over(key);
    }

    /// One free retry on a fresh connection, with the permit that is there.
    fn connect_again(&mut self, gateway: &Bound<'_, Gateway>, key: CallKey, now: Now) {
        let nonce = self.ids.next() as u32;
        let Some(call) = self.calls.get(key) else { return };
        let Some(backend) = call.exchange.backend() else { return };
        call.exchange.granted(backend, nonce, now);
        call.armed = Nanos::MAX;
        self.connect(gateway, key, backend);
    }

    fn bounce(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        upstream: UpstreamEnd,
        now: Now,
    ) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let (Some(ticket), Some(backend)) = (call.ticket, call.exchange.backend()) else {
            return false;
        };
        if self.admission.bounce(ticket, BOUNCE_PAUSE, now.mono).is_err() {
            return false;
        }
        self.registry.attempt(backend, "bounced");
        if let Some(call) = self.calls.get(key) {
            call.exchange.requeued();
            call.armed = Nanos::MAX;
            if let Some(connection) = call.upstream.take() {
                self.put_away(gateway.py(), connection.bind(gateway.py()), upstream, now);
            }
        }
        self.arm(key);
        self.collect(gateway, now);
        true
    }

    fn retry_elsewhere(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        kind: Retry,
        upstream: UpstreamEnd,
        result: &'static str,
        now: Now,
    ) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let tier = usize::from(call.exchange.plan.tier);
        let instant = self.table.tiers[tier].profile == Profile::Instant;
        if call.exchange.attempts() >= MAX_ATTEMPTS || kind == Retry::BudgetedIfInstant && !instant
        {
            return false;
        }
        let Some(backend) = call.exchange.backend() else { return false };
        call.failed.push(backend);
        let Some(offer) = self.next_offer(key) else { return false };
        if kind != Retry::OtherBackend && !self.budgets[tier].take(now.mono) {
            return false;
        }
        // The first attempt is over before the second begins, and its permit is back.
        self.attempt_over(gateway, key, upstream, result, now);
        if let Some(call) = self.calls.get(key) {
            call.exchange.requeued();
            call.armed = Nanos::MAX;
        }
        self.offered(gateway, key, &offer, now);
        true
    }

    /// The attempt is done with: its connection is put away and its permit goes back, now or when the
    /// backend has really ended.
    fn attempt_over(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        upstream: UpstreamEnd,
        result: &'static str,
        now: Now,
    ) {
        let Some(call) = self.calls.get(key) else { return };
        if let Some(backend) = call.exchange.backend() {
            self.registry.attempt(backend, result);
        }
        let Some(call) = self.calls.get(key) else { return };
        let (ticket, connection) = (call.ticket.take(), call.upstream.take());
        let outcome = match (upstream, result) {
            (_, "ok") => PermitOutcome::Success,
            (_, "cancelled") => PermitOutcome::Ignored,
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

    /// Half-close, and wait for the backend's end with the permit still taken (contract §3).
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
        let methods = [
            this.method(py, |transport| &transport.resume_reading),
            this.method(py, |transport| &transport.half_close),
        ];
        self.acts.extend(methods.into_iter().flatten().map(Act::Call));
        let grace = self.table.backends[usize::from(this.backend)].abort_grace;
        self.aborting.push(Aborting {
            until: now.mono + grace,
            connection: connection.clone().unbind(),
            ticket,
        });
    }

    /// The backend has ended an aborted request.
    fn aborted(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        connection: &Bound<'_, UpstreamConnection>,
        now: Now,
    ) {
        let Duty::Aborting(ticket) = connection.borrow().duty() else { return };
        self.aborting.retain(|aborting| !aborting.connection.is(connection));
        self.close(connection);
        self.release(gateway, ticket, PermitOutcome::Ignored, now);
    }

    /// Back to the pool, or closed.
    fn put_away(
        &mut self,
        py: Python<'_>,
        connection: &Bound<'_, UpstreamConnection>,
        upstream: UpstreamEnd,
        now: Now,
    ) {
        let this = connection.borrow();
        if upstream == UpstreamEnd::Reuse && !self.draining && this.is_usable(py) {
            this.set_duty(Duty::Idle);
            // The client may have paused it; an idle connection must notice its backend's close.
            self.acts.extend(this.method(py, |t| &t.resume_reading).map(Act::Call));
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
        let end = this.method(py, |transport| &transport.abort);
        self.acts.extend(end.or_else(|| this.cancel_connecting(py)).map(Act::Call));
    }

    fn drop_upstream(&mut self, py: Python<'_>, key: CallKey) {
        if let Some(connection) = self.calls.get(key).and_then(|call| call.upstream.take()) {
            self.close(connection.bind(py));
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
            self.attempt_over(gateway, key, UpstreamEnd::Abort, "cancelled", now);
        }
        self.forget_if_over(key);
        self.collect(gateway, now);
    }

    /// Takes a waiting call out of the queue.
    fn leave_queue(&mut self, key: CallKey, now: Now) {
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
        let method = call.upstream.as_ref().and_then(|connection| {
            connection
                .borrow(py)
                .method(py, |t| if full { &t.pause_reading } else { &t.resume_reading })
        });
        self.acts.extend(method.map(Act::Call));
        self.arm(key);
    }

    /// Every timer, once a tick.
    pub(crate) fn tick(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        let mut due = Vec::new();
        self.wheel.expire(now.mono, &mut due);
        for slot in due {
            let Some(call) = self.calls.in_slot(slot) else { continue };
            let key = call.key;
            call.armed = Nanos::MAX;
            let next = call.exchange.time(&self.table, now, &mut self.output);
            self.follow(gateway, key, next, now);
        }
        let overdue = |aborting: &Aborting| aborting.until <= now.mono;
        while let Some(at) = self.aborting.iter().position(overdue) {
            let Aborting { connection, ticket, .. } = self.aborting.swap_remove(at);
            self.close(connection.bind(gateway.py()));
            self.release(gateway, ticket, PermitOutcome::Ignored, now);
        }
        for connection in self.pool.expire(&self.table, now.mono) {
            self.close(connection.bind(gateway.py()));
        }
        if self.admission.next_tick().is_some_and(|due| due <= now.mono) {
            self.admission.tick(now.mono);
        }
        self.collect(gateway, now);
    }

    /// The drain time is over: what still runs in these tiers ends with an error event.
    pub(crate) fn cut(&mut self, gateway: &Bound<'_, Gateway>, tiers: &[u16], now: Now) {
        for key in self.calls.keys() {
            let Some(call) = self.calls.get(key) else { continue };
            if !tiers.contains(&call.exchange.plan.tier) || call.client.is_none() {
                continue;
            }
            let error = ApiError::new(Code::Draining, "the gateway is shutting down");
            let phase = if call.exchange.has_begun() { Where::Stream } else { Where::FirstEvent };
            if call.exchange.is_queued() {
                self.leave_queue(key, now);
                self.end_with(gateway.py(), key, &error, Term(Who::Gateway, Where::Queue), now);
            } else {
                self.end_with(gateway.py(), key, &error, Term(Who::Gateway, phase), now);
                self.attempt_over(gateway, key, UpstreamEnd::Abort, "cancelled", now);
                self.forget_if_over(key);
            }
        }
        self.collect(gateway, now);
    }

    /// The process is about to end: nothing waits for a backend any more.
    pub(crate) fn shut_down(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        self.draining = true;
        let tiers: Vec<u16> = (0..self.table.tiers.len() as u16).collect();
        self.cut(gateway, &tiers, now);
        // What is left are requests whose client is served and whose backend lingers.
        for key in self.calls.keys() {
            self.attempt_over(gateway, key, UpstreamEnd::Close, "ok", now);
            self.forget_if_over(key);
        }
        for Aborting { connection, ticket, .. } in std::mem::take(&mut self.aborting) {
            self.close(connection.bind(gateway.py()));
            self.release(gateway, ticket, PermitOutcome::Ignored, now);
        }
        for connection in self.pool.drain() {
            self.close(connection.bind(gateway.py()));
        }
    }

    /// A panic has struck while this call was handled: it is lost, everything else goes on.
    pub(crate) fn panicked(&mut self, gateway: &Bound<'_, Gateway>, key: CallKey, now: Now) {
        self.output.clear();
        let error = ApiError::new(Code::InternalError, "internal error");
        self.end_with(gateway.py(), key, &error, Term(Who::Gateway, Where::FirstEvent), now);
        self.attempt_over(gateway, key, UpstreamEnd::Abort, "cancelled", now);
        self.forget_if_over(key);
    }
}
