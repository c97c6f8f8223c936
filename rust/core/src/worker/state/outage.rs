//! Outages of a backend: their log events, and the request that tests whether it is back.

use super::ids::RequestId;
use crate::routing::BackendIndex;
use crate::time::{Nanos, SECOND};

/// A trial that is not broken off for so long is through: ports that break requests off do so at once, and a
/// first token may take its time.
const SURVIVAL: Nanos = SECOND;

/// The begin or the end of an outage; the log has a line for each.
#[derive(Debug)]
pub enum Outage {
    Began { backend: BackendIndex, reason: String },
    Ended { backend: BackendIndex, lasted: Nanos },
}

/// A request that tries whether its backend is back.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) id: RequestId,
    /// When it was written to its backend, if it has been.
    sent: Option<Nanos>,
    /// How long it has been there.
    lived: Nanos,
}

impl Trial {
    pub(crate) fn of(id: RequestId) -> Self {
        Trial { id, sent: None, lived: 0 }
    }

    /// Time has passed since the last look. `sent`: when the request was written to its backend. Only the time that it
    /// has been there at both looks counts. Returns whether it has survived.
    pub(crate) fn live(&mut self, sent: Option<Nanos>, passed: Nanos) -> bool {
        self.lived = if sent.is_some() && sent == self.sent { self.lived + passed } else { 0 };
        self.sent = sent;
        self.lived >= SURVIVAL
    }
}
