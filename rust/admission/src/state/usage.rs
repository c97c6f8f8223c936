//! What running requests use, counted under everything that limits it.

use std::sync::atomic::Ordering;

use super::heap::NONE;
use super::ledger::Ledger;
use super::load::Load;
use crate::limits::caps::Cap;

impl Ledger<'_> {
    /// Counts a row under everything that limits it: backend, node, tier, band, tenant.
    pub(crate) fn charge_caps(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (resources, priority, tenant) = (row.resources, usize::from(row.priority), row.tenant);
        let (tier, backend) = (usize::from(row.tier), usize::from(row.backend));
        let is_trial = row.trial != 0;
        self.each_cap(at, |cap| cap.charge(resources));
        self.backends[backend].by_priority[priority] += resources.slots;
        self.tiers[tier].priorities[priority].used += resources.slots;
        if is_trial {
            self.backends[backend].outage.trial = at;
        }
        self.tenants[tenant as usize].used += resources.slots;
        *self.pair(tier, backend) += resources.slots;
        self.publish_load(backend);
    }

    pub(crate) fn refund_caps(&mut self, at: u32) {
        self.unlink_prefill(at);
        let row = &self.rows[at as usize];
        let (resources, priority, tenant) = (row.resources, usize::from(row.priority), row.tenant);
        let (tier, backend) = (usize::from(row.tier), usize::from(row.backend));
        self.each_cap(at, |cap| cap.refund(resources));
        self.backends[backend].by_priority[priority] -= resources.slots;
        self.tiers[tier].priorities[priority].used -= resources.slots;
        self.tenants[tenant as usize].used -= resources.slots;
        *self.pair(tier, backend) -= resources.slots;
        self.rows[at as usize].trial = 0;
        let state = &mut self.backends[backend];
        if state.outage.trial == at {
            state.outage.trial = NONE;
        }
        state.note_prefill(self.globals.now);
        self.publish_load(backend);
    }

    /// Tells how full a backend is, for those who choose candidates without the lock.
    pub(crate) fn publish_load(&mut self, backend: usize) {
        let load = Load::of(&self.backends[backend], self.globals.now);
        self.loads[backend].store(load.word(), Ordering::Relaxed);
    }

    /// Runs over the caps that a placed row counts under.
    pub(crate) fn each_cap(&mut self, at: u32, mut change: impl FnMut(&mut Cap)) {
        let row = &self.rows[at as usize];
        change(&mut self.tiers[usize::from(row.tier)].cap);
        let backend = &mut self.backends[usize::from(row.backend)];
        change(&mut backend.cap);
        if let Some(node) = backend.node() {
            change(&mut self.nodes[node]);
        }
    }
}
