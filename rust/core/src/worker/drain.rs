//! The ends of a worker, and what a panic costs.

use super::effects::Effects;
use super::machine::Worker;
use super::state::Aborting;
use crate::exchange::{AttemptResult, Term, UpstreamEnd, Where, Who};
use crate::openai::{ApiError, Code};
use crate::routing::TierIndex;
use crate::time::Now;
use crate::trace::transition;

impl Worker {
    /// From now on every new request is refused, so no connection stays open behind an answer.
    pub fn drain(&mut self, io: &mut impl Effects) {
        if !self.is_draining {
            transition!("serving" => "draining", worker = self.owner.worker);
            self.is_draining = true;
        }
        for id in self.requests.ids() {
            if let Some(request) = self.requests.get_mut(id) {
                request.exchange.close_client();
            }
        }
        for connection in self.pool.drain() {
            self.close(io, connection);
        }
        self.check_invariants();
    }

    /// The drain time is over: what still runs in these tiers ends with an error event.
    pub fn cut(&mut self, io: &mut impl Effects, tiers: &[TierIndex], now: Now) {
        for id in self.requests.ids() {
            self.current = Some(id);
            let Some(request) = self.requests.get(id) else { continue };
            if !tiers.contains(&request.exchange.plan.tier) || request.client.is_none() {
                continue;
            }
            let error = ApiError::new(Code::Draining, "the gateway is shutting down");
            let phase =
                if request.exchange.has_begun() { Where::Stream } else { Where::FirstEvent };
            if request.exchange.is_queued() {
                self.leave_queue(id, now);
                self.end_with(io, id, &error, Term(Who::Gateway, Where::Queue), now);
            } else {
                self.end_with(io, id, &error, Term(Who::Gateway, phase), now);
                self.attempt_over(io, id, UpstreamEnd::Abort, AttemptResult::Cancelled, now);
                self.forget_if_over(id);
            }
        }
        self.collect(io, now);
        self.check_invariants();
    }

    /// The process is about to end: nothing waits for a backend any more. Backends that are still at
    /// work keep their permits; whoever reclaims this worker's life gives them back after the grace.
    pub fn shut_down(&mut self, io: &mut impl Effects, now: Now) {
        self.drain(io);
        let tiers: Vec<TierIndex> = (0..self.generation.table.tiers.len() as u16).collect();
        self.cut(io, &tiers, now);
        // What is left are requests whose client is served and whose backend lingers.
        for id in self.requests.ids() {
            self.current = Some(id);
            self.attempt_over(io, id, UpstreamEnd::Abort, AttemptResult::Ok, now);
            self.forget_if_over(id);
        }
        for Aborting { connection, .. } in std::mem::take(&mut self.aborting) {
            self.close(io, connection);
        }
    }

    /// A panic has struck in the middle of an event: the request that was being handled is lost, everything else goes on.
    pub fn panicked(&mut self, io: &mut impl Effects, now: Now) {
        if let Some(id) = self.current.take() {
            let error = ApiError::new(Code::InternalError, "internal error");
            if self.requests.get(id).is_some_and(|request| request.exchange.is_queued()) {
                self.leave_queue(id, now);
            }
            self.end_with(io, id, &error, Term(Who::Gateway, Where::FirstEvent), now);
            self.attempt_over(io, id, UpstreamEnd::Abort, AttemptResult::Cancelled, now);
            self.forget_if_over(id);
        }
        // It may have struck between taking a permit from its owner and giving it back, or before a request that is
        // over was forgotten.
        for id in self.requests.ids() {
            self.forget_if_over(id);
        }
        self.reclaim_unowned(io, now);
    }
}
