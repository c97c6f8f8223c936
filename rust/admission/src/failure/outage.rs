//! Requests fail to reach a backend, or reach it again.

use crate::api::ids::{BackendIndex, Ticket};
use crate::api::report::{Fault, Proof};
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::outage::Outage;
use crate::time::{Nanos, SECOND};

/// A trial that takes longer than this gives way to another: its worker may be stopped.
const LONGEST_TRIAL: Nanos = 5 * SECOND;

impl Ledger<'_> {
    /// A request failed to reach a backend. Returns whether this begins an outage.
    pub(crate) fn fail(&mut self, backend: BackendIndex, fault: Fault, now: Nanos) -> bool {
        let now = self.at(now);
        let state = &mut self.backends[usize::from(backend)];
        let was_on = state.outage.is_active();
        state.outage.fail(fault, now);
        let is_on = state.outage.is_active();
        self.confirm_crash(backend, fault, now);
        self.publish_load(usize::from(backend));
        is_on && !was_on
    }

    /// A request reached a backend. Returns how long none did, if this ends an outage.
    pub(crate) fn reached(
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

    /// Part of a request's answer has arrived. Returns how long none reached its backend, if this ends an
    /// outage.
    pub(crate) fn answered(&mut self, ticket: Ticket, now: Nanos) -> Option<Nanos> {
        self.at(now);
        let at = self.holder(ticket)?;
        let lasted = self.refute_by_answer(at);
        if lasted.is_some() {
            self.dispatch();
        }
        lasted
    }

    /// As [`Self::answered`], for a row; the caller dispatches.
    pub(crate) fn refute_by_answer(&mut self, at: u32) -> Option<Nanos> {
        let row = &self.rows[at as usize];
        let backend = usize::from(row.backend);
        let outage = &mut self.backends[backend].outage;
        if !outage.is_suspected() {
            return None;
        }
        let is_since = row.granted > outage.since;
        if is_since && outage.unavailable > 0 {
            outage.unavailable = 0;
            self.publish_load(backend);
        }
        let proof = if is_since { Proof::Served } else { Proof::Answered };
        self.refute(backend, proof, self.globals.now)
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

    pub(crate) fn end_outage(&mut self, backend: usize) {
        let trial = self.backends[backend].outage.trial;
        if trial != NONE {
            self.rows[trial as usize].trial = 0;
        }
        self.backends[backend].outage = Outage::NONE;
        self.publish_load(backend);
    }

    /// Ends a trial that takes too long, so that another request may try.
    pub(crate) fn end_long_trial(&mut self, backend: usize, now: Nanos) {
        let trial = self.backends[backend].outage.trial;
        if trial != NONE && now >= self.rows[trial as usize].granted + LONGEST_TRIAL {
            self.rows[trial as usize].trial = 0;
            self.backends[backend].outage.trial = NONE;
        }
    }
}
