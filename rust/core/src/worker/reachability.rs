//! Whether requests get through to a backend: noticed here, remembered by admission, told in the log.

use penstock_admission::Proof;

use super::machine::Worker;
use super::state::{Outage, Request, RequestId, Trial};
use crate::exchange::{AttemptResult, Failure, Next};
use crate::routing::BackendIndex;
use crate::time::{MILLISECOND, Nanos, Now};

/// The most that the time between two ticks counts: after a longer one the worker was stopped, and what came
/// meanwhile is not read yet.
const MOST_AT_ONCE: Nanos = 100 * MILLISECOND;

impl Worker {
    /// Tells admission of a failure that says that the request did not get through.
    pub(super) fn note_fault(&mut self, backend: BackendIndex, failure: &Failure, now: Now) {
        if let Some(fault) = failure.fault()
            && self.admission.fail(backend, fault, now.mono)
        {
            let message = failure.error().message;
            let reason = match failure {
                Failure::Unavailable { status, .. } => format!("answers {status}: {message}"),
                _ => message,
            };
            self.outages.push(Outage::Began { backend, reason });
        }
    }

    /// Bytes have come from a backend that had failed others: if they answer the request, it is back.
    #[cold]
    pub(super) fn note_if_answered(&mut self, id: RequestId, next: &Next, now: Now) {
        let Some(request) = self.requests.get(id) else { return };
        let is_answered = match next {
            Next::Failed { failure, .. } => failure.is_answer(),
            Next::Ended(ended) => ended.result == AttemptResult::Ok,
            Next::Continue | Next::Answered => request.exchange.is_answered(),
        };
        let (ticket, backend) = (request.ticket, request.exchange.backend());
        if let (true, Some(ticket), Some(backend)) = (is_answered, ticket, backend)
            && let Some(lasted) = self.admission.answered(ticket, now.mono)
        {
            self.outages.push(Outage::Ended { backend, lasted });
        }
    }

    /// A request got through; `proof`: how that is known.
    pub(super) fn note_reached(&mut self, backend: BackendIndex, proof: Proof, now: Now) {
        // Outages are rare, and checking for one takes no lock.
        if self.admission.load(backend).has_outage
            && let Some(lasted) = self.admission.reached(backend, proof, now.mono)
        {
            self.outages.push(Outage::Ended { backend, lasted });
        }
    }

    /// A request is about to try whether a backend is back.
    pub(super) fn note_trial(&mut self, id: RequestId) {
        if self.trials.iter().all(|trial| trial.id != id) {
            self.trials.push(Trial::of(id));
        }
    }

    /// Time has passed: looks whether requests that try a backend have survived there.
    pub(super) fn note_survivors(&mut self, now: Now) {
        let passed = (now.mono - self.trials_seen).min(MOST_AT_ONCE);
        self.trials_seen = now.mono;
        let mut trials = std::mem::take(&mut self.trials);
        trials.retain_mut(|trial| {
            let tries = |one: &&Request| one.is_trial && !one.exchange.is_answered();
            let Some(request) = self.requests.get(trial.id).filter(tries) else { return false };
            let (sent, backend) = (request.exchange.unanswered_since(), request.exchange.backend());
            let has_survived = trial.live(sent, passed);
            if let (true, Some(backend)) = (has_survived, backend) {
                self.note_reached(backend, Proof::Survived, now);
            }
            !has_survived
        });
        self.trials = trials;
    }
}
