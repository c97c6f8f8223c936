//! Bodies that are set aside because servers have died under them.

use crate::api::ids::BackendIndex;
use crate::api::report::Fault;
use crate::state::ledger::Ledger;
use crate::time::Nanos;

impl Ledger<'_> {
    pub(crate) fn broken_off(&mut self, backend: BackendIndex, body: u64, now: Nanos) {
        let now = self.at(now);
        self.board.deaths.broken_off(backend, body, now);
    }

    pub(crate) fn confirm_death(&mut self, backend: BackendIndex, fault: Fault, now: Nanos) {
        let now = self.at(now);
        if fault == Fault::Refused
            && let Some(until) = self.board.deaths.confirm(backend, now)
        {
            self.suspicious_until.store(until, std::sync::atomic::Ordering::Relaxed);
        }
    }

    pub(crate) fn is_set_aside(&mut self, body: u64, now: Nanos) -> bool {
        let now = self.at(now);
        self.board.deaths.accuse(body, now)
    }
}
