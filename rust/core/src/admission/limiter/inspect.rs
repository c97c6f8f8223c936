//! What others may know of the limiter: its numbers, and whether they agree.

use super::{Admission, Invariants};
use crate::admission::caps::{Cap, Health};
use crate::admission::row::{Row, State, Ticket};
use crate::routing::{BackendIndex, TierIndex};

impl Admission {
    pub fn queue_depth(&self, tier: TierIndex) -> u32 {
        self.tiers[usize::from(tier)].queue.requests
    }

    pub fn tier_cap(&self, tier: TierIndex) -> Cap {
        self.tiers[usize::from(tier)].cap
    }

    pub fn backend_cap(&self, backend: BackendIndex) -> Cap {
        self.backends[usize::from(backend)].cap
    }

    pub fn node_cap(&self, node: usize) -> Cap {
        self.nodes[node]
    }

    /// Whether a backend may get requests: it is not down and not drained, nor is its node.
    pub fn is_usable(&self, backend: BackendIndex) -> bool {
        let state = &self.backends[usize::from(backend)];
        let node_open = state.node.is_none_or(|node| self.nodes[node].limit != Some(0));
        state.is_usable() && node_open
    }

    /// Every ticket that holds a permit: what its owner compares with what it knows.
    pub fn holders(&self) -> impl Iterator<Item = Ticket> + '_ {
        let holding = self.rows.iter().enumerate().filter(|(_, row)| row.holds_permit());
        holding.map(|(at, row)| Ticket { row: at as u32, generation: row.generation })
    }

    pub fn health(&self, backend: BackendIndex) -> Health {
        self.backends[usize::from(backend)].health
    }

    /// Slots taken by a tier on a backend; a pass over the rows, for scrapes.
    pub fn inflight(&self, tier: TierIndex, backend: BackendIndex) -> u32 {
        let counts = |row: &&Row| row.holds_permit() && row.tier == tier && row.backend == backend;
        self.rows.iter().filter(counts).map(|row| row.resources.slots).sum()
    }

    /// Counts the rows anew and compares every derived sum with them.
    pub fn invariants(&self) -> Invariants {
        let count = |state: State| self.rows.iter().filter(|row| row.state == state).count() as u64;
        let queued = count(State::Queued);
        let running = count(State::Granted) + count(State::Running);
        let closing = count(State::Closing);
        let slots = |belongs: &dyn Fn(&Row) -> bool| -> u32 {
            let holding = self.rows.iter().filter(|row| row.holds_permit() && belongs(row));
            holding.map(|row| row.resources.slots).sum()
        };
        let backends_agree = self.backends.iter().enumerate().all(|(at, state)| {
            state.cap.used.slots == slots(&|row| usize::from(row.backend) == at)
        });
        let tiers_agree =
            self.tiers.iter().enumerate().all(|(at, state)| {
                state.cap.used.slots == slots(&|row| usize::from(row.tier) == at)
            });
        let waiting: u64 = self.tiers.iter().map(|tier| u64::from(tier.queue.requests)).sum();
        Invariants {
            ok: backends_agree
                && tiers_agree
                && waiting == queued
                && self.arrived == queued + running + closing + self.finished,
            arrived: self.arrived,
            queued,
            running,
            closing,
            finished: self.finished,
        }
    }
}
