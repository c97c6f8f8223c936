//! Whether everything that is derived agrees with the rows.

use super::recount::{Recount, RecountSizes};
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::state::table::{Entry, Table};

/// The conservation sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariants {
    /// Whether every sum, list and heap agrees with the rows.
    pub ok: bool,
    pub arrived: u64,
    pub queued: u64,
    pub running: u64,
    pub closing: u64,
    pub finished: u64,
}

impl Ledger<'_> {
    pub(crate) fn recount_sizes(&self) -> RecountSizes {
        RecountSizes {
            tiers: self.tiers.len(),
            backends: self.backends.len(),
            nodes: self.nodes.len(),
            tenants: self.tenants.len(),
            flows: self.flows.len(),
        }
    }

    /// Counts the rows anew and compares every sum, list and heap with them.
    pub(crate) fn invariants(&mut self, recount: &mut Recount) -> Invariants {
        recount.count_all(self);
        let [_, queued, granted, running, closing, refused] = recount.states;
        let (arrived, finished) = (self.globals.arrived, self.globals.finished);
        let running = granted + running;
        let ok = arrived == queued + running + closing + finished
            && recount.agrees_with(self)
            && self.count_notifications() == Some(granted + refused)
            && self.count_free_rows() == Some(recount.states[0])
            && self.tables_agree();
        Invariants { ok, arrived, queued, running, closing, finished }
    }

    /// Letters in all mailboxes; `None` if something else is among them.
    fn count_notifications(&self) -> Option<u64> {
        let mut letters = 0;
        for worker in &*self.workers {
            let mut at = worker.head;
            while at != NONE {
                let row = &self.rows[at as usize];
                letters += 1;
                let is_letter = matches!(row.state(), State::Granted | State::Refused);
                if !is_letter || letters > self.rows.len() as u64 {
                    return None;
                }
                at = row.next;
            }
        }
        Some(letters)
    }

    /// Rows that the free list knows among those that were ever used; `None` if one is not free.
    fn count_free_rows(&self) -> Option<u64> {
        let (mut free, mut listed) = (self.globals.free, 0);
        while free.is_listed() {
            let at = free.peek(self.rows)?;
            listed += 1;
            if self.rows[at as usize].state() != State::Free || listed > self.rows.len() as u64 {
                return None;
            }
            free.pop(self.rows);
        }
        Some(listed)
    }

    fn tables_agree(&mut self) -> bool {
        let tenants = (0..self.globals.tenants.high_water()).all(|at| {
            let key = self.tenants[at].key();
            Table::find(self.tenant_buckets, self.tenants, key) == Some(at as u32)
        });
        let flows = (0..self.globals.flows.high_water()).all(|at| {
            let key = self.flows[at].key();
            Table::find(self.flow_buckets, self.flows, key) == Some(at as u32)
        });
        tenants && flows
    }
}
