//! What happens by itself: timers, and the ends of the process and of a call that panicked.

use penstock_admission::PermitOutcome;
use penstock_core::exchange::{AttemptResult, Output, Term, UpstreamEnd, Where, Who};
use penstock_core::metrics::{Gauge, Histogram, Total};
use penstock_core::openai::{ApiError, Code};
use penstock_core::time::{Nanos, Now, SECOND};
use pyo3::prelude::*;

use crate::calls::CallKey;
use crate::clock::Clock;
use crate::engine::{Aborting, Engine};
use crate::faults;
use crate::gateway::Gateway;

/// How often permits are compared with requests.
const SWEEP: Nanos = 10 * SECOND;

impl Engine {
    /// Every timer, once a tick.
    pub(crate) fn tick(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        self.clock = Clock::new();
        // Before the calls' own timers, so that a queue's verdict comes before a total time as long.
        self.admission.tick(now.mono);
        self.collect(gateway, now);
        // What a panic leaves here is seen to at the next tick.
        let Engine { wheel, due, .. } = self;
        wheel.expire(now.mono, due);
        while let Some(slot) = self.due.pop() {
            let Some(call) = self.calls.in_slot(slot) else { continue };
            let key = call.key;
            self.current = Some(key);
            faults::check("timer");
            let Some(call) = self.calls.get(key) else { continue };
            let mut out = Output::new(&mut self.memory);
            let next = call.exchange.time(&self.table, now, &mut out);
            self.follow(gateway, key, next, out, now);
        }
        self.current = None;
        self.note_survivors(now);
        let overdue = |aborting: &Aborting| aborting.until <= now.mono;
        while let Some(at) = self.aborting.iter().position(overdue) {
            let Aborting { connection, ticket, .. } = self.aborting.swap_remove(at);
            self.close(connection.bind(gateway.py()));
            self.release(gateway, ticket, PermitOutcome::Ignored, now);
        }
        for connection in self.pool.expire(&self.table, now.mono) {
            self.close(connection.bind(gateway.py()));
        }
        if now.mono - self.swept >= SWEEP {
            self.swept = now.mono;
            self.find_leaks(gateway, now);
        }
        for (ticket, tokens) in self.growths.drain(..) {
            self.admission.grow(ticket, tokens);
        }
        for (backend, gaps) in self.gaps.iter_mut().enumerate() {
            if gaps.count() > 0 {
                self.admission.note_inter_token(backend as u16, gaps);
                *gaps = Histogram::fine();
            }
        }
        self.shard.set(Gauge::IdleUpstreams, self.pool.len() as u64);
        self.collect(gateway, now);
    }

    /// Looks for permits that no request owns. There must be none; one that there is
    /// all the same is counted and comes back.
    fn find_leaks(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        for ticket in self.admission.permits_of(self.owner) {
            let call = self.rows[ticket.row as usize].and_then(|key| self.calls.get(key));
            let is_owned = call.is_some_and(|call| call.ticket == Some(ticket))
                || self.aborting.iter().any(|aborting| aborting.ticket == ticket);
            if !is_owned {
                self.shard.add(Total::PermitsLeaked, 1);
                self.release(gateway, ticket, PermitOutcome::Ignored, now);
            }
        }
    }

    /// From now on every new request is refused, so no connection stays open behind an answer.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        for key in self.calls.keys() {
            if let Some(call) = self.calls.get(key) {
                call.exchange.close_client();
            }
        }
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
                self.attempt_over(gateway, key, UpstreamEnd::Abort, AttemptResult::Cancelled, now);
                self.forget_if_over(key);
            }
        }
        self.collect(gateway, now);
    }

    /// The process is about to end: nothing waits for a backend any more. Backends that are still at
    /// work keep their permits; whoever reclaims this worker's life gives them back after the grace.
    pub(crate) fn shut_down(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        self.drain();
        let tiers: Vec<u16> = (0..self.table.tiers.len() as u16).collect();
        self.cut(gateway, &tiers, now);
        // What is left are requests whose client is served and whose backend lingers.
        for key in self.calls.keys() {
            self.attempt_over(gateway, key, UpstreamEnd::Abort, AttemptResult::Ok, now);
            self.forget_if_over(key);
        }
        for Aborting { connection, .. } in std::mem::take(&mut self.aborting) {
            self.close(connection.bind(gateway.py()));
        }
        for connection in self.pool.drain() {
            self.close(connection.bind(gateway.py()));
        }
    }

    /// A panic has struck while this call was handled: it is lost, everything else goes on.
    pub(crate) fn panicked(&mut self, gateway: &Bound<'_, Gateway>, key: CallKey, now: Now) {
        let error = ApiError::new(Code::InternalError, "internal error");
        if self.calls.get(key).is_some_and(|call| call.exchange.is_queued()) {
            self.leave_queue(key, now);
        }
        self.end_with(gateway.py(), key, &error, Term(Who::Gateway, Where::FirstEvent), now);
        self.attempt_over(gateway, key, UpstreamEnd::Abort, AttemptResult::Cancelled, now);
        self.forget_if_over(key);
    }
}
