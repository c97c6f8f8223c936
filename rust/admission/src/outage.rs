//! A backend that requests do not get through to: closed for a moment, then tried by one request at a
//! time until one gets through.
//!
//! A connection that is refused has not begun its request, so the request goes back to its queue with its
//! deadline and its place. All at once they would be refused all at once, as an engine that starts again
//! takes seconds to open its port; and a health probe needs several failures to call a backend down.
//! A proxy in front of such an engine accepts connections and answers 502 or 503 in its stead.

use super::heap::NONE;
use super::ledger::Ledger;
use super::offer::{Fault, Proof, Refusal, Ticket};
use super::row::State;
use crate::index::BackendIndex;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// How long a backend is closed after the first failure; each one in a row doubles it.
const SHORTEST_PAUSE: Nanos = 50 * MILLISECOND;
const LONGEST_PAUSE: Nanos = 2 * SECOND;
/// Who tries for so long lets another try: its worker may be stopped.
const LONGEST_TRIAL: Nanos = 5 * SECOND;
/// So many requests in a row are turned away before a backend counts as out: one alone may have failed for
/// reasons of its own.
const TURNED_AWAY_IN_A_ROW: u32 = 3;

/// Failures in a row, and who tries whether they are over.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    /// When the first of them was, or the first that was turned away; of no meaning without any.
    since: Nanos,
    /// Nobody tries before; and what fails before is of the same event.
    until: Nanos,
    /// 0: all is well.
    failures: u32,
    /// The row that tries.
    pub(super) trial: u32,
    /// Requests in a row that were turned away while all was well.
    turned_away: u32,
    fault: Fault,
    _padding: [u8; 3],
}

impl Outage {
    pub(super) const NONE: Outage = Outage {
        since: 0,
        until: 0,
        failures: 0,
        trial: NONE,
        turned_away: 0,
        fault: Fault::Refused,
        _padding: [0; 3],
    };

    pub(super) fn is_on(&self) -> bool {
        self.failures > 0
    }

    /// Whether there is anything that a proof may refute.
    pub(super) fn is_suspected(&self) -> bool {
        self.is_on() || self.turned_away > 0
    }

    /// Whether another request may go there, as far as this is concerned.
    pub(super) fn admits(&self, now: Nanos) -> bool {
        !self.is_on() || self.trial == NONE && self.until <= now
    }

    /// Counts a failure.
    fn fail(&mut self, fault: Fault, now: Nanos) {
        if self.is_on() && now < self.until {
            return;
        }
        if !self.is_suspected() {
            self.since = now;
        }
        if !self.is_on() && fault == Fault::Unavailable {
            self.turned_away += 1;
            if self.turned_away < TURNED_AWAY_IN_A_ROW {
                return;
            }
        }
        let pause = (SHORTEST_PAUSE << self.failures.min(16)).min(LONGEST_PAUSE);
        (self.until, self.fault) = (now + pause, fault);
        self.failures = self.failures.saturating_add(1);
    }

    /// A server that shuts down refuses connections while its old streams run on, and one that breaks
    /// requests off may accept them first.
    fn is_refuted_by(&self, proof: Proof, now: Nanos) -> bool {
        self.is_on()
            && match proof {
                Proof::Connected => self.fault.is_before_connected(),
                // What a server had sent before it died may be read after.
                Proof::Answered => self.fault == Fault::Died && self.until <= now,
                Proof::Survived => self.fault == Fault::Died,
                Proof::Served => true,
            }
    }
}

impl Ledger<'_> {
    /// A request did not get through to a backend. Returns whether that begins an outage.
    pub(super) fn fail(&mut self, backend: BackendIndex, fault: Fault, now: Nanos) -> bool {
        let now = self.at(now);
        let state = &mut self.backends[usize::from(backend)];
        let was_on = state.outage.is_on();
        state.outage.fail(fault, now);
        let is_on = state.outage.is_on();
        self.confirm_death(backend, fault, now);
        self.publish(usize::from(backend));
        is_on && !was_on
    }

    /// A request got through to a backend. Returns how long none did, if that is over now.
    pub(super) fn reached(
        &mut self,
        backend: BackendIndex,
        proof: Proof,
        now: Nanos,
    ) -> Option<Nanos> {
        let now = self.at(now);
        let lasted = self.refute(usize::from(backend), proof, now);
        if lasted.is_some() {
            self.dispatch();
        }
        lasted
    }

    /// Something of a request's answer has come. Returns how long none got through, if that is over now.
    pub(super) fn answered(&mut self, ticket: Ticket, now: Nanos) -> Option<Nanos> {
        self.at(now);
        let at = self.holder(ticket)?;
        let lasted = self.refute_by_answer(at);
        if lasted.is_some() {
            self.dispatch();
        }
        lasted
    }

    /// As [`Self::answered`], of a row; the caller dispatches.
    pub(super) fn refute_by_answer(&mut self, at: u32) -> Option<Nanos> {
        let row = &self.rows[at as usize];
        let backend = usize::from(row.backend);
        let outage = &mut self.backends[backend].outage;
        if !outage.is_suspected() {
            return None;
        }
        let is_since = row.granted > outage.since;
        if is_since && outage.turned_away > 0 {
            outage.turned_away = 0;
            self.publish(backend);
        }
        let proof = if is_since { Proof::Served } else { Proof::Answered };
        self.refute(backend, proof, self.board.now)
    }

    fn refute(&mut self, backend: usize, proof: Proof, now: Nanos) -> Option<Nanos> {
        let outage = &self.backends[backend].outage;
        if !outage.is_refuted_by(proof, now) {
            return None;
        }
        let lasted = now.saturating_sub(outage.since);
        self.end_outage(backend);
        Some(lasted)
    }

    pub(super) fn end_outage(&mut self, backend: usize) {
        let trial = self.backends[backend].outage.trial;
        if trial != NONE {
            self.rows[trial as usize].trial = 0;
        }
        self.backends[backend].outage = Outage::NONE;
        self.publish(backend);
    }

    /// Time has passed: a trial without an outcome gives way.
    pub(super) fn end_long_trial(&mut self, backend: usize, now: Nanos) {
        let trial = self.backends[backend].outage.trial;
        if trial != NONE && now >= self.rows[trial as usize].granted + LONGEST_TRIAL {
            self.rows[trial as usize].trial = 0;
            self.backends[backend].outage.trial = NONE;
        }
    }

    /// A request that has not begun goes to another backend that has room, or back to its queue, with
    /// its deadline and its place.
    pub(super) fn put_back(&mut self, ticket: Ticket, now: Nanos) -> bool {
        self.at(now);
        let Some(at) = self.holder(ticket) else { return false };
        if self.rows[at as usize].state() != State::Running {
            return false;
        }
        let tenant = self.return_to_queue(at);
        // It had its turn, so neither those before it nor its deadline keep it from another backend.
        self.let_in(at);
        self.has_ended(tenant);
        self.after_change();
        true
    }

    /// Why a request was not dispatched in time: for want of a slot, or of a backend.
    pub(super) fn why_late(&self, at: u32) -> Refusal {
        let is_there = |index: usize| self.is_open(index) && !self.backends[index].outage.is_on();
        let mut candidates = self.rows[at as usize].candidates.iter();
        if candidates.any(|candidate| is_there(usize::from(candidate.backend))) {
            Refusal::Expired
        } else {
            Refusal::NoBackend
        }
    }
}
