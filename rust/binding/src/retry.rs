//! What follows when an attempt has failed: again, elsewhere, or the client is told.

use penstock_core::admission::Health;
use penstock_core::exchange::{AttemptResult, Failure, Retry, Term, UpstreamEnd, Where, Who};
use penstock_core::routing::Profile;
use penstock_core::time::{Nanos, Now};
use pyo3::prelude::*;

use crate::calls::CallKey;
use crate::engine::Engine;
use crate::gateway::Gateway;

/// Most attempts of one request (research/reliability-and-ux.md §1.4).
const MAX_ATTEMPTS: u32 = 2;

impl Engine {
    /// An attempt has failed before the client had anything: again, elsewhere, or not.
    pub(super) fn failed(
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
            self.quarantine.killed(call.exchange.plan.tail(), now.mono);
        }
        if matches!(failure, Failure::FirstEventTimeout) {
            self.shared.count_silence(backend);
        }
        let result = failure.attempt_result();
        match failure.retry() {
            Retry::SameBackend => {
                // The permit stays: nothing has begun on the backend.
                self.shard.attempt(backend, result);
                self.drop_upstream(gateway.py(), key);
                return self.connect_again(gateway, key, now);
            }
            Retry::Bounce => {
                if let Failure::Full { retry_after: Some(seconds) } = failure {
                    call.retry_after = call.retry_after.max(*seconds);
                }
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
        let longest = Failure::Full { retry_after: Some(call.retry_after) };
        let failure = if matches!(failure, Failure::Full { .. }) { &longest } else { failure };
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
        if self.admission.bounce(ticket, now.mono).is_err() {
            return false;
        }
        self.shard.attempt(backend, AttemptResult::Bounced);
        if let Some(call) = self.calls.get(key) {
            call.exchange.bounced();
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
        result: AttemptResult,
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
}
