//! What follows when an attempt has failed: again, elsewhere, or the client is told.

use penstock_admission::{Admission, Health, Ticket};
use penstock_core::exchange::{
    AttemptResult, Failure, Output, Retry, Term, UpstreamEnd, Where, Who,
};
use penstock_core::routing::Profile;
use penstock_core::time::Now;
use pyo3::prelude::*;

use crate::calls::CallKey;
use crate::engine::Engine;
use crate::gateway::Gateway;

/// Most attempts of one request: the first, and one retry.
const MAX_ATTEMPTS: u32 = 2;
/// So often a request tries a backend that breaks requests off, or turns them away, and waits again: with
/// the growing pauses some three seconds, in which nobody else is tried.
const MAX_TRIALS: u8 = 6;

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
        let is_silence = call.exchange.is_silence(&self.table, failure, now);
        if failure.breaks_off() {
            let body = call.exchange.plan.fingerprint();
            self.admission.note_reset(backend, body, now.mono);
        }
        // Others fared like that there before, so this request is hardly the cause, unless it fails
        // again and again; and there is no other backend.
        let tier = &self.table.tiers[usize::from(call.exchange.plan.tier)];
        let has_died_trying = call.is_trial
            && call.trials < MAX_TRIALS
            && self.admission.load(backend).has_outage
            && failure.fault().is_some_and(|fault| !fault.is_before_connected())
            && tier.backends.len() == 1;
        call.trials += u8::from(has_died_trying);
        let is_first_stale = !call.wants_fresh;
        call.wants_fresh |= failure.retry() == Retry::Stale;
        self.note_fault(backend, failure, now);
        if is_silence {
            self.shared.count_silence(backend);
        }
        let result = failure.attempt_result();
        let goes_on = match failure.retry() {
            Retry::NotStarted => {
                if matches!(failure, Failure::Loading) {
                    self.admission.set_health(backend, Health::Down, now.mono);
                }
                self.put_back(gateway, key, upstream, result, now)
            }
            Retry::Stale if is_first_stale => self.put_back(gateway, key, upstream, result, now),
            Retry::Bounce => self.bounce(gateway, key, failure, upstream, now),
            Retry::Never => false,
            _ if has_died_trying => self.put_back(gateway, key, upstream, result, now),
            kind => self.retry_elsewhere(gateway, key, kind, upstream, result, now),
        };
        if goes_on {
            return;
        }
        let Some(call) = self.calls.get(key) else { return };
        let longest = Failure::Full { retry_after: Some(call.retry_after) };
        let failure = if matches!(failure, Failure::Full { .. }) { &longest } else { failure };
        let mut out = Output::new(&mut self.memory);
        call.exchange.give_up(&self.table, failure, now, &mut out);
        self.finish_client(gateway.py(), key, out);
        self.attempt_over(gateway, key, upstream, result, now);
        self.forget_if_over(key);
    }

    /// The request has not begun: it goes to another backend, or back to its queue.
    fn put_back(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
    ) -> bool {
        self.wait_again(gateway, key, upstream, result, now, |admission, ticket| {
            admission.requeue(ticket, now.mono)
        })
    }

    /// The attempt is none and its request waits again, if `goes_back` lets it.
    fn wait_again(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
        goes_back: impl FnOnce(&Admission, Ticket) -> bool,
    ) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let (Some(ticket), Some(backend)) = (call.ticket, call.exchange.backend()) else {
            return false;
        };
        if !goes_back(&self.admission, ticket) {
            return false;
        }
        self.shard.attempt(backend, result);
        if let Some(call) = self.calls.get(key) {
            call.exchange.not_started();
            if let Some(connection) = call.upstream.take() {
                self.put_away(gateway.py(), connection.bind(gateway.py()), upstream, now);
            }
        }
        self.arm(key);
        self.collect(gateway, now);
        true
    }

    fn bounce(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        failure: &Failure,
        upstream: UpstreamEnd,
        now: Now,
    ) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        if let Failure::Full { retry_after: Some(seconds) } = failure {
            call.retry_after = call.retry_after.max(*seconds);
        }
        self.wait_again(gateway, key, upstream, AttemptResult::Bounced, now, |admission, ticket| {
            admission.pushback(ticket, now.mono).is_ok()
        })
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
        let Some(offer) = self.next_offer(key, |_| true) else { return false };
        if kind != Retry::OtherBackend && !self.budgets[tier].take(now.mono) {
            return false;
        }
        // The first attempt is over before the second begins, and its permit is back.
        self.attempt_over(gateway, key, upstream, result, now);
        if let Some(call) = self.calls.get(key) {
            call.exchange.requeued();
        }
        self.offered(gateway, key, &offer, now);
        true
    }
}
