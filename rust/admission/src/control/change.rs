//! What changes from outside: limits, health, facts.

use crate::api::decision::Refusal;
use crate::api::ids::BackendIndex;
use crate::api::report::{Health, Proof};
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::time::Nanos;

impl Ledger<'_> {
    /// Changes a backend's slots. Lower than what runs: nothing is killed, nothing is granted until
    /// it fits. 0: drained.
    pub(crate) fn set_limits(&mut self, backend: BackendIndex, slots: u32, now: Nanos) {
        self.at(now);
        self.caps.get_mut(CapKind::Backend, usize::from(backend)).set_limit(Some(slots));
        self.publish_load(usize::from(backend));
        self.after_change();
    }

    /// Returns how long requests did not get through, if that is over by this.
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
            // What answers a probe may still break requests off, unless it has been started anew.
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

    /// A backend was drained or shrank: whoever can no longer be served at all hears it now. Who waits
    /// for one that is down waits for as long as it may, as it may come back.
    pub(crate) fn after_change(&mut self) {
        for tier in 0..self.tiers.len() {
            if self.tiers[tier].requests > 0 && !self.has_backend_in_service(tier) {
                self.refuse_all_queued(tier, Refusal::NoBackend);
            }
        }
        self.dispatch();
    }
}
