//! Request bodies that are refused because backends have crashed on them.

use crate::api::ids::BackendIndex;
use crate::api::report::Fault;
use crate::state::ledger::Ledger;
use crate::time::Nanos;

impl Ledger<'_> {
    pub(crate) fn note_reset(&mut self, backend: BackendIndex, body: u64, now: Nanos) {
        let now = self.at(now);
        self.globals.crash_log.note_reset(backend, body, now);
    }

    pub(crate) fn confirm_crash(&mut self, backend: BackendIndex, fault: Fault, now: Nanos) {
        let now = self.at(now);
        if fault == Fault::Refused
            && let Some(until) = self.globals.crash_log.confirm(backend, now)
        {
            self.quarantine_until.store(until, std::sync::atomic::Ordering::Relaxed);
        }
    }

    pub(crate) fn is_quarantined(&mut self, body: u64, now: Nanos) -> bool {
        let now = self.at(now);
        self.globals.crash_log.is_suspect(body, now)
    }
}
