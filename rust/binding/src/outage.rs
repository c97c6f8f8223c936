//! What is told of backends that requests do not get through to.

use penstock_admission::Proof;
use penstock_core::exchange::{AttemptResult, Failure, Next};
use penstock_core::routing::BackendIndex;
use penstock_core::time::{MILLISECOND, Nanos, Now, SECOND};

use crate::calls::{Call, CallKey};
use crate::engine::Engine;

/// A trial that is not broken off for so long is through: ports that break requests off do so at once, and a
/// first token may take its time.
const SURVIVAL: Nanos = SECOND;
/// Of the time between two looks so much counts at most: a worker that stood still has not read yet what came
/// meanwhile.
const MOST_AT_ONCE: Nanos = 100 * MILLISECOND;

/// The begin or the end of an outage; the log has a line for each.
#[derive(Debug)]
pub(crate) enum Outage {
    Began { backend: BackendIndex, reason: String },
    Ended { backend: BackendIndex, lasted: Nanos },
}

impl Engine {
    /// A request did not get through, if that is what its failure says.
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

    /// Something has come for a request, perhaps of an answer.
    #[cold]
    pub(super) fn note_if_answered(&mut self, key: CallKey, next: &Next, now: Now) {
        let Some(call) = self.calls.get(key) else { return };
        let is_answered = match next {
            Next::Failed { failure, .. } => failure.is_answer(),
            Next::Ended(ended) => ended.result == AttemptResult::Ok,
            Next::Continue | Next::Answered => call.exchange.is_answered(),
        };
        let (ticket, backend) = (call.ticket, call.exchange.backend());
        if let (true, Some(ticket), Some(backend)) = (is_answered, ticket, backend)
            && let Some(lasted) = self.admission.answered(ticket, now.mono)
        {
            self.outages.push(Outage::Ended { backend, lasted });
        }
    }

    /// A request got through; `proof` says how that shows.
    pub(super) fn note_reached(&mut self, backend: BackendIndex, proof: Proof, now: Now) {
        // Nearly always all is well, and to see that takes no lock.
        if self.admission.load(backend).has_outage
            && let Some(lasted) = self.admission.reached(backend, proof, now.mono)
        {
            self.outages.push(Outage::Ended { backend, lasted });
        }
    }

    /// A request is about to try whether a backend is back.
    pub(super) fn note_trial(&mut self, key: CallKey) {
        if self.trials.iter().all(|trial| trial.key != key) {
            self.trials.push(Trial { key, sent: None, lived: 0 });
        }
    }

    /// Time has passed: looks whether requests that try a backend have survived there.
    pub(super) fn note_survivors(&mut self, now: Now) {
        let passed = (now.mono - self.looked).min(MOST_AT_ONCE);
        self.looked = now.mono;
        let mut trials = std::mem::take(&mut self.trials);
        trials.retain_mut(|trial| {
            let tries = |call: &&mut Box<Call>| call.is_trial && !call.exchange.is_answered();
            let Some(call) = self.calls.get(trial.key).filter(tries) else { return false };
            let (sent, backend) = (call.exchange.unanswered_since(), call.exchange.backend());
            trial.live(sent, passed);
            let has_survived = trial.lived >= SURVIVAL;
            if let (true, Some(backend)) = (has_survived, backend) {
                self.note_reached(backend, Proof::Survived, now);
            }
            !has_survived
        });
        self.trials = trials;
    }
}

/// A request that tries whether its backend is back.
#[derive(Debug)]
pub(crate) struct Trial {
    key: CallKey,
    /// When it was written to its backend, if it has been.
    sent: Option<Nanos>,
    /// How long it has been there.
    lived: Nanos,
}

impl Trial {
    /// Time has passed since the last look, at which it was perhaps not sent, or sent elsewhere.
    fn live(&mut self, sent: Option<Nanos>, passed: Nanos) {
        self.lived = if sent.is_some() && sent == self.sent { self.lived + passed } else { 0 };
        self.sent = sent;
    }
}
