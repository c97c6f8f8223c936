//! A backend that requests do not get through to: closed for a moment, then tried by one request at a
//! time until one gets through.
//!
//! A connection that is refused has not begun its request, so the request goes back to its queue with its
//! deadline and its place. All at once they would be refused all at once, as an engine that starts again
//! takes seconds to open its port; and a health probe needs several failures to call a backend down.
//! A proxy in front of such an engine accepts connections and answers 502 or 503 in its stead.

use super::heap::NONE;
use crate::api::report::{Fault, Proof};
use crate::time::{MILLISECOND, Nanos, SECOND};

/// How long a backend is closed after the first failure; each one in a row doubles it.
const SHORTEST_PAUSE: Nanos = 50 * MILLISECOND;

const LONGEST_PAUSE: Nanos = 2 * SECOND;

/// So many requests in a row are turned away before a backend counts as out: one alone may have failed for
/// reasons of its own.
const UNAVAILABLE_IN_A_ROW: u32 = 3;

/// Failures in a row, and who tries whether they are over.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    /// When the first of them was, or the first that was turned away; of no meaning without any.
    pub(crate) since: Nanos,
    /// Nobody tries before; and what fails before is of the same event.
    until: Nanos,
    /// 0: all is well.
    failures: u32,
    /// The row that tries.
    pub(crate) trial: u32,
    /// Requests in a row that were turned away while all was well.
    pub(crate) unavailable: u32,
    fault: Fault,
    _padding: [u8; 3],
}

impl Outage {
    pub(crate) const NONE: Outage = Outage {
        since: 0,
        until: 0,
        failures: 0,
        trial: NONE,
        unavailable: 0,
        fault: Fault::Refused,
        _padding: [0; 3],
    };

    pub(crate) fn is_active(&self) -> bool {
        self.failures > 0
    }

    /// Whether there is anything that a proof may refute.
    pub(crate) fn is_suspected(&self) -> bool {
        self.is_active() || self.unavailable > 0
    }

    /// Whether another request may go there, as far as this is concerned.
    pub(crate) fn admits(&self, now: Nanos) -> bool {
        !self.is_active() || self.trial == NONE && self.until <= now
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self, fault: Fault, now: Nanos) {
        if self.is_active() && now < self.until {
            return;
        }
        if !self.is_suspected() {
            self.since = now;
        }
        if !self.is_active() && fault == Fault::Unavailable {
            self.unavailable += 1;
            if self.unavailable < UNAVAILABLE_IN_A_ROW {
                return;
            }
        }
        let pause = (SHORTEST_PAUSE << self.failures.min(16)).min(LONGEST_PAUSE);
        (self.until, self.fault) = (now + pause, fault);
        self.failures = self.failures.saturating_add(1);
    }

    /// A server that shuts down refuses connections while its old streams run on, and one that breaks
    /// requests off may accept them first.
    pub(crate) fn is_refuted_by(&self, proof: Proof, now: Nanos) -> bool {
        self.is_active()
            && match proof {
                Proof::Connected => self.fault.is_before_connected(),
                // What a server had sent before it died may be read after.
                Proof::Answered => self.fault == Fault::Died && self.until <= now,
                Proof::Survived => self.fault == Fault::Died,
                Proof::Served => true,
            }
    }
}
