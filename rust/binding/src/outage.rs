//! What is told of backends that requests do not get through to.

use penstock_core::admission::Proof;
use penstock_core::exchange::Failure;
use penstock_core::routing::BackendIndex;
use penstock_core::time::{Nanos, Now};
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::gateway::Gateway;

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
            let reason = failure.error().message;
            self.outages.push(Outage::Began { backend, reason });
        }
    }

    /// A request got through; `proof` says how that shows.
    pub(super) fn note_reached(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        backend: BackendIndex,
        proof: Proof,
        now: Now,
    ) {
        // Nearly always there is no outage, and to see that takes no lock.
        if self.admission.load(backend).is_out
            && let Some(lasted) = self.admission.reached(backend, proof, now.mono)
        {
            self.outages.push(Outage::Ended { backend, lasted });
            self.collect(gateway, now);
        }
    }
}
