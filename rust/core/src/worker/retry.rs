//! What follows when an attempt has failed: again, elsewhere, or the client is told.

use penstock_admission::{Admission, Health, Ticket};

use super::effects::Effects;
use super::machine::Worker;
use super::state::RequestId;
use crate::exchange::{AttemptResult, Failure, Output, Retry, Term, UpstreamEnd, Where, Who};
use crate::routing::TierProfile;
use crate::time::Now;
use crate::trace::step;

/// Most attempts of one request: the first, and one retry.
const MAX_ATTEMPTS: u32 = 2;
/// How often a request goes back to its queue after it has tried a backend that resets its connections, or
/// whose proxy says that it is unavailable. With the growing pauses between trials this is about three seconds.
const MAX_TRIALS: u8 = 6;

impl Worker {
    /// An attempt has failed before the client got anything of an answer: decides whether another follows,
    /// and where.
    pub(super) fn failed(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        failure: &Failure,
        upstream: UpstreamEnd,
        now: Now,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if request.exchange.is_queued() {
            // The total time ran out in the queue.
            self.leave_queue(id, now);
            let error = failure.error();
            self.end_with(io, id, &error, Term(Who::Gateway, Where::Queue), now);
            return self.collect(io, now);
        }
        let Some(backend) = request.exchange.backend() else { return };
        let table = &request.generation.table;
        let is_silence = request.exchange.is_silence(table, failure, now);
        if failure.breaks_off() {
            let body = request.exchange.plan.fingerprint();
            self.admission.note_reset(backend, body, now.mono);
        }
        // The backend has failed others before, so this request is hardly the cause, unless it fails again
        // and again; and there is no other backend.
        let tier = &table.tiers[usize::from(request.exchange.plan.tier)];
        let has_died_trying = request.is_trial
            && request.trials < MAX_TRIALS
            && self.admission.load(backend).has_outage
            && failure.fault().is_some_and(|fault| !fault.is_before_connected())
            && tier.backends.len() == 1;
        request.trials += u8::from(has_died_trying);
        request.wants_fresh |= failure.retry() == Retry::Stale;
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
                self.put_back(io, id, upstream, result, now)
            }
            Retry::Stale => self.put_back(io, id, upstream, result, now),
            Retry::Pushback => self.bounce(io, id, failure, upstream, now),
            Retry::Never => false,
            _ if has_died_trying => self.put_back(io, id, upstream, result, now),
            kind => self.retry_elsewhere(io, id, kind, upstream, result, now),
        };
        if !goes_on {
            self.give_up(io, id, failure, upstream, now);
        }
    }

    /// No further attempt: the client gets the failure.
    fn give_up(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        failure: &Failure,
        upstream: UpstreamEnd,
        now: Now,
    ) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let longest = Failure::Full { retry_after: Some(request.retry_after) };
        let told = if matches!(failure, Failure::Full { .. }) { &longest } else { failure };
        let mut out = Output::new(&mut self.output);
        let table = &request.generation.table;
        step!(id, request, request.exchange.give_up(table, told, now, &mut out));
        self.finish_client(io, id, out, now);
        self.attempt_over(io, id, upstream, failure.attempt_result(), now);
        self.forget_if_over(id);
    }

    /// The request has not begun: it goes to another backend, or back to its queue.
    fn put_back(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
    ) -> bool {
        self.wait_again(io, id, upstream, result, now, |admission, ticket| {
            admission.requeue(ticket, now.mono)
        })
    }

    /// The backend had no room: the request waits again, unless that has happened too often.
    fn bounce(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        failure: &Failure,
        upstream: UpstreamEnd,
        now: Now,
    ) -> bool {
        let Some(request) = self.requests.get_mut(id) else { return false };
        if let Failure::Full { retry_after: Some(seconds) } = failure {
            request.retry_after = request.retry_after.max(*seconds);
        }
        self.wait_again(io, id, upstream, AttemptResult::Bounced, now, |admission, ticket| {
            admission.pushback(ticket, now.mono).is_ok()
        })
    }

    /// Queues the request again, if `goes_back` does so; the attempt does not count.
    fn wait_again(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
        goes_back: impl FnOnce(&Admission, Ticket) -> bool,
    ) -> bool {
        let Some(request) = self.requests.get(id) else { return false };
        let (Some(ticket), Some(backend)) = (request.ticket, request.exchange.backend()) else {
            return false;
        };
        if !goes_back(&self.admission, ticket) {
            return false;
        }
        self.shard.attempt(backend, result);
        if let Some(request) = self.requests.get_mut(id) {
            step!(id, request, request.exchange.not_started());
            if let Some(connection) = request.connection.take() {
                self.put_away(io, connection, upstream, now);
            }
        }
        self.arm(id);
        self.collect(io, now);
        true
    }

    fn retry_elsewhere(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        kind: Retry,
        upstream: UpstreamEnd,
        result: AttemptResult,
        now: Now,
    ) -> bool {
        let Some(request) = self.requests.get_mut(id) else { return false };
        let tier = usize::from(request.exchange.plan.tier);
        let instant = request.generation.table.tiers[tier].profile == TierProfile::Instant;
        if request.exchange.attempts() >= MAX_ATTEMPTS
            || kind == Retry::BudgetedIfInstant && !instant
        {
            return false;
        }
        let Some(backend) = request.exchange.backend() else { return false };
        request.failed.push(backend);
        let Some(offer) = self.next_offer(id, |_| true) else { return false };
        if kind != Retry::OtherBackend && !self.budgets[tier].take(now.mono) {
            return false;
        }
        // The first attempt's permit is released before the second attempt asks for one.
        self.attempt_over(io, id, upstream, result, now);
        if let Some(request) = self.requests.get_mut(id) {
            step!(id, request, request.exchange.requeued());
        }
        self.make_offer(io, id, &offer, now);
        true
    }
}
