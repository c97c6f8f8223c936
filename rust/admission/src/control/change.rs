//! Changes from outside: limits, health, and what an engine reports.

use crate::api::decision::Refusal;
use crate::api::ids::BackendIndex;
use crate::api::report::{Health, Proof};
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::time::Nanos;

impl Ledger<'_> {
    /// Changes a backend's slots; 0 drains it. If fewer than are in use, nothing is killed, and nothing is
    /// granted until it fits.
    pub(crate) fn set_limits(&mut self, backend: BackendIndex, slots: u32, now: Nanos) {
        self.at(now);
        self.caps.get_mut(CapKind::Backend, usize::from(backend)).set_limit(Some(slots));
        self.publish_load(usize::from(backend));
        self.after_change();
    }

    /// Returns how long the backend was unreachable, if this ends an outage.
    pub(crate) fn set_health(
        &mut self,
        backend: BackendIndex,
        health: Health,
        now: Nanos,
    ) -> Option<Nanos> {
        let now = self.at(now);
        let state = &mut self.backends[usize::from(backend)];
        let was_down = state.is_down();
        state.set_health(health, now);
        let lasted = match health {
            // A server that answers probes may still reset requests, unless it has restarted.
            Health::Healthy if was_down => self.reached(backend, Proof::Served, now),
            Health::Healthy => self.reached(backend, Proof::Connected, now),
            Health::Down | Health::Unknown => None,
        };
        self.publish_load(usize::from(backend));
        self.after_change();
        lasted
    }

    pub(crate) fn learn_kv(&mut self, backend: BackendIndex, tokens: u64, now: Nanos) {
        self.at(now);
        self.backends[usize::from(backend)].learn_kv(tokens);
        self.after_change();
    }

    /// A backend was drained or shrank: refuse at once the requests that no backend can serve any more.
    /// Requests for a backend that is down wait until their deadline, as it may come back.
    pub(crate) fn after_change(&mut self) {
        for tier in 0..self.tiers.len() {
            if self.tiers[tier].requests > 0 && !self.has_backend_in_service(tier) {
                self.refuse_all_queued(tier, Refusal::NoBackend);
            }
        }
        self.dispatch();
    }
}
