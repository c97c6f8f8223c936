//! What is told of backends that requests do not get through to.

use penstock_core::admission::Proof;
use penstock_core::exchange::{Failure, Next};
use penstock_core::routing::BackendIndex;
use penstock_core::time::{Nanos, Now, SECOND};

use crate::calls::{Call, CallKey};
use crate::engine::Engine;

/// A trial that is not broken off or turned away for so long is through: that happens at once, and a first
/// token may take its time.
const SURVIVAL: Nanos = SECOND;

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
                Failure::Fault { status, .. } => format!("answers {status}: {message}"),
                _ => message,
            };
            self.outages.push(Outage::Began { backend, reason });
        }
    }

    /// Something has come for a request, perhaps of an answer.
    #[cold]
    pub(super) fn note_answer(
        &mut self,
        backend: BackendIndex,
        key: CallKey,
        next: &Next,
        now: Now,
    ) {
        let is_answered = match next {
            Next::Failed { failure, .. } => failure.is_answer(),
            _ => self.calls.get(key).is_some_and(|call| call.exchange.is_answered()),
        };
        if is_answered {
            self.note_reached(backend, Proof::Answered, now);
        }
    }

    /// A request got through; `proof` says how that shows.
    pub(super) fn note_reached(&mut self, backend: BackendIndex, proof: Proof, now: Now) {
        if self.admission.load(backend).is_suspected
            && let Some(lasted) = self.admission.reached(backend, proof, now.mono)
        {
            self.outages.push(Outage::Ended { backend, lasted });
        }
    }

    /// Time has passed: looks whether requests that try a backend have survived there.
    pub(super) fn note_survivors(&mut self, now: Now) {
        let mut at = 0;
        while let Some(&key) = self.trials.get(at) {
            match self.calls.get(key).filter(|call| call.is_trial && !call.exchange.is_answered()) {
                Some(call) if !has_survived(call, now) => at += 1,
                Some(call) => {
                    let backend = call.exchange.backend();
                    self.trials.swap_remove(at);
                    if let Some(backend) = backend {
                        self.note_reached(backend, Proof::Survived, now);
                    }
                }
                None => {
                    self.trials.swap_remove(at);
                }
            }
        }
    }

    /// A request is about to try whether a backend is back.
    pub(super) fn note_trial(&mut self, key: CallKey) {
        if !self.trials.contains(&key) {
            self.trials.push(key);
        }
    }
}

fn has_survived(call: &Call, now: Now) -> bool {
    call.exchange.unanswered_since().is_some_and(|since| now.mono >= since + SURVIVAL)
}
