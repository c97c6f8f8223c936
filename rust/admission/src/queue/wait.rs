//! Predicts how long a request would wait.

use crate::state::ledger::Ledger;
use crate::time::{Nanos, SECOND};

impl Ledger<'_> {
    /// How long a row would wait; `None`: nothing is known.
    pub(crate) fn predicted_wait(&self, at: u32) -> Option<Nanos> {
        let row = &self.rows[at as usize];
        let index = usize::from(row.tier);
        let (slots_ahead, prefill_ahead) = self.work_ahead(at);
        let by_prefill = self.prefill_wait(at, prefill_ahead);
        if usize::from(row.priority) < self.priorities_with_free_slots(index)
            && self.has_free_memory(row)
        {
            return Some(seconds(by_prefill));
        }
        let speed = self.tiers[index].speed.get()?;
        let by_slots = (slots_ahead + f64::from(row.resources.slots)) / speed;
        Some(seconds(by_slots.max(by_prefill)))
    }

    /// Slots and prompt tokens that would be served before a row: those of higher priorities, and of its
    /// own priority those of its tenant, and of the other tenants by their share.
    fn work_ahead(&self, at: u32) -> (f64, f64) {
        let row = &self.rows[at as usize];
        let priorities = &self.tiers[usize::from(row.tier)].priorities;
        let priority = usize::from(row.priority);
        let above = &priorities[..priority];
        let mut slots: u32 = above.iter().map(|priority| priority.slots).sum();
        let mut prefill: u64 = above.iter().map(|priority| priority.prefill).sum();
        let own = &priorities[priority];
        let flow = &self.flows[row.flow as usize];
        let weight = u64::from(self.tenants[row.tenant as usize].weight);
        let others = own.flows.saturating_sub(if flow.is_linked(priority) { weight } else { 0 });
        let part = (others + weight) as f64 / weight as f64;
        let fair = (f64::from(flow.waiting_slots + 1) * part).min(f64::from(own.slots));
        let share = if own.slots == 0 { 0.0 } else { fair / f64::from(own.slots) };
        slots += fair as u32;
        prefill += (own.prefill as f64 * share) as u64;
        (f64::from(slots), prefill as f64)
    }

    /// Seconds until enough of the prompts before a row are processed to let it in.
    fn prefill_wait(&self, at: u32, ahead: f64) -> f64 {
        let row = &self.rows[at as usize];
        let (mut limit, mut used, mut rate) = (0.0, 0.0, 0.0);
        for index in self.tiers[usize::from(row.tier)].backends.iter() {
            let backend = self.backend(index);
            if !backend.is_usable() {
                continue;
            }
            // A backend without a limit, or whose rate is unknown, is no reason to refuse.
            let (Some(tokens), Some(speed)) = (backend.prefill_limit(), backend.prefill_rate.get())
            else {
                return 0.0;
            };
            limit += tokens as f64;
            used += backend.cap.used.prefill as f64;
            rate += speed;
        }
        // A prompt that is larger than the limit runs alone.
        let prompt = f64::from(row.prompt);
        let excess = ahead + used + prompt - prompt.max(limit);
        if rate == 0.0 { 0.0 } else { excess.max(0.0) / rate }
    }
}

pub(crate) fn seconds(seconds: f64) -> Nanos {
    // Cut off at an hour.
    (seconds.min(3600.0) * SECOND as f64) as Nanos
}
