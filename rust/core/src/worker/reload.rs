//! A new generation of the configuration.

use std::sync::Arc;

use super::machine::Worker;
use crate::exchange::RetryBudget;
use crate::generation::Generation;
use crate::time::Nanos;

impl Worker {
    /// Requests that come from now on go by `generation`; those in hand keep the one that they began with.
    ///
    /// Tiers and backends keep their indices, and there are as many as before.
    pub fn set_generation(&mut self, generation: Arc<Generation>, now: Nanos) {
        let table = &generation.table;
        assert_eq!(table.tiers.len(), self.budgets.len(), "tiers keep their indices");
        assert_eq!(table.backends.len(), self.gaps.len(), "backends keep their indices");
        for (at, tier) in table.tiers.iter().enumerate() {
            if tier.retry_budget.to_bits() != self.generation.table.tiers[at].retry_budget.to_bits()
            {
                self.budgets[at] = RetryBudget::new(tier.retry_budget, now);
            }
        }
        self.generation = generation;
    }
}
