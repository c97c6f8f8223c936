//! What running requests use: charged to their caps, and counted by backend, tier and priority.

use std::sync::atomic::Ordering;

use super::caps::CapKind;
use super::heap::NONE;
use super::ledger::Ledger;
use super::load::Load;

impl Ledger<'_> {
    /// Counts a row that has its permit.
    pub(crate) fn charge_caps(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (resources, priority) = (row.resources, usize::from(row.priority));
        let (tier, backend) = (usize::from(row.tier), usize::from(row.backend));
        let (slots, is_trial) = (resources.slots, row.trial != 0);
        self.caps.charge(&self.path(row, backend), resources);
        self.backends[backend].by_priority[priority] += slots;
        self.tiers[tier].priorities[priority].used += slots;
        if is_trial {
            self.backends[backend].outage.trial = at;
        }
        *self.pair(tier, backend) += slots;
        self.publish_load(backend);
    }

    /// A row no longer uses anything.
    pub(crate) fn refund_caps(&mut self, at: u32) {
        self.unlink_prefill(at);
        let row = &self.rows[at as usize];
        let (resources, priority) = (row.resources, usize::from(row.priority));
        let (tier, backend, slots) =
            (usize::from(row.tier), usize::from(row.backend), resources.slots);
        self.caps.refund(&self.path(row, backend), resources);
        self.backends[backend].by_priority[priority] -= slots;
        self.tiers[tier].priorities[priority].used -= slots;
        *self.pair(tier, backend) -= slots;
        self.rows[at as usize].trial = 0;
        let outage = &mut self.backends[backend].outage;
        if outage.trial == at {
            outage.trial = NONE;
        }
        self.note_prefill(backend);
        self.publish_load(backend);
    }

    /// The prompt tokens in flight on a backend have changed.
    pub(crate) fn note_prefill(&mut self, backend: usize) {
        let tokens = self.caps.get(CapKind::Backend, backend).used.prefill;
        self.backends[backend].note_prefill(tokens, self.globals.now);
    }

    /// Publishes how full a backend is, for workers that choose candidates without the lock.
    pub(crate) fn publish_load(&mut self, backend: usize) {
        let load = Load::of(self.backend(backend), self.globals.now);
        self.loads[backend].store(load.word(), Ordering::Relaxed);
    }
}
