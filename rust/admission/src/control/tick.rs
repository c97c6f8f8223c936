//! What changes as time passes.

use crate::api::offer::PRIORITIES;
use crate::state::caps::CapKind;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::tier::TierState;
use crate::time::{MILLISECOND, Nanos};

/// Ticks that come sooner are ignored: several processes call `tick`.
const TICK: Nanos = 5 * MILLISECOND;

impl Ledger<'_> {
    /// Time has passed: expired requests are refused, waiting ones rise in priority, orphans end, backends
    /// open again.
    pub(crate) fn tick(&mut self, now: Nanos) {
        let now = self.at(now);
        if now < self.globals.ticked + TICK {
            return;
        }
        let passed = now - std::mem::replace(&mut self.globals.ticked, now);
        self.find_stalled(passed);
        for backend in 0..self.backends.len() {
            let backlog = self.has_backlog(backend);
            let cap = self.caps.get(CapKind::Backend, backend);
            self.backends[backend].tick(cap, backlog, now);
            self.end_estimated_prefills(backend);
            self.end_long_trial(backend, now);
            self.publish_load(backend);
        }
        for tier in 0..self.tiers.len() {
            self.tiers[tier].speed.update(now);
            if self.tiers[tier].earliest <= now {
                self.expire(tier, now);
            }
            self.age(tier, now);
        }
        if self.globals.orphans > 0 {
            self.end_orphans(now);
        }
        self.dispatch();
    }

    /// Whether requests wait in a tier that a backend serves.
    fn has_backlog(&self, backend: usize) -> bool {
        let waits = |tier: &TierState| tier.requests > 0 && tier.backends.contains(backend);
        self.globals.waiting != 0 && self.tiers.iter().any(waits)
    }

    /// Refuses the expired requests of a tier, and finds the earliest deadline of the others.
    fn expire(&mut self, tier: usize, now: Nanos) {
        let mut earliest = Nanos::MAX;
        for flow in 0..self.flows.len() {
            // Entries behind were never used.
            if flow >= self.globals.flows.high_water() {
                break;
            }
            if self.flows[flow].waiting == 0 || usize::from(self.flows[flow].tier()) != tier {
                continue;
            }
            for priority in 0..PRIORITIES {
                loop {
                    let head = self.flows[flow].heads[priority];
                    if head == NONE {
                        break;
                    }
                    let deadline = self.rows[head as usize].deadline;
                    if deadline > now {
                        earliest = earliest.min(deadline);
                        break;
                    }
                    let why = self.deadline_refusal(head);
                    self.refuse_queued(head, why);
                }
            }
        }
        self.tiers[tier].earliest = earliest;
    }

    /// Raises the priority of the oldest requests of a tier, as more urgent ones could starve them.
    fn age(&mut self, tier: usize, now: Nanos) {
        for priority in 1..PRIORITIES {
            if self.tiers[tier].priorities[..priority].iter().all(|above| above.requests == 0) {
                continue;
            }
            loop {
                // The next row of a priority is the oldest of its flow. The others of that flow follow once
                // it has risen.
                let root = self.tiers[tier].priorities[priority].root;
                if root == NONE {
                    break;
                }
                let head = self.flows[root as usize].heads[priority];
                let row = &mut self.rows[head as usize];
                if row.ages > now {
                    break;
                }
                row.ages = now + (row.deadline - row.arrived) / 2;
                self.raise_priority(head);
            }
        }
    }
}
