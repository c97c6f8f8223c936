//! A backend that requests do not reach: closed for a moment, then tried by one request at a time until one
//! gets through (a circuit breaker: open, then half-open).
//!
//! A refused connection has not begun its request, so the request returns to its queue with its deadline
//! and order. Without a breaker all of them would be refused at once, as an engine takes seconds to open
//! its port after a restart, and a health probe needs several failures to find that. A proxy in front of
//! such an engine accepts connections and answers 502 or 503 itself.

use super::heap::NONE;
use crate::api::report::{Fault, Proof};
use crate::time::{MILLISECOND, Nanos, SECOND};

/// How long a backend is closed after the first failure; doubled by each further one in a row.
const SHORTEST_PAUSE: Nanos = 50 * MILLISECOND;

const LONGEST_PAUSE: Nanos = 2 * SECOND;

/// A backend has an outage after this many unavailable answers in a row: one alone may have other reasons.
const UNAVAILABLE_IN_A_ROW: u32 = 3;

/// Failures in a row, and the trial whether they are over.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    /// When the first failure was; unused without any.
    pub(crate) since: Nanos,
    /// No trial before this. Failures before this belong to the same event.
    until: Nanos,
    /// 0: no outage.
    failures: u32,
    /// The row that is the trial, or [`NONE`].
    pub(crate) trial: u32,
    /// Unavailable answers in a row, before they are an outage.
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

    /// Whether a proof would change anything.
    pub(crate) fn is_suspected(&self) -> bool {
        self.is_active() || self.unavailable > 0
    }

    /// Whether another request may be sent there.
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

    /// A server that shuts down refuses connections while its old streams continue; one that resets
    /// requests may accept their connections first.
    pub(crate) fn is_refuted_by(&self, proof: Proof, now: Nanos) -> bool {
        self.is_active()
            && match proof {
                Proof::Connected => self.fault.is_before_connected(),
                // Bytes that a server sent before it died may be read after.
                Proof::Answered => self.fault == Fault::Died && self.until <= now,
                Proof::Survived => self.fault == Fault::Died,
                Proof::Served => true,
            }
    }
}
