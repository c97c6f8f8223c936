//! Whether everything that is derived agrees with the rows.

use super::recount::{Disagreement, Recount};
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::state::table::{Entry, Table};

/// The conservation sums: `arrived` = `queued` + `running` + `closing` + `finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariants {
    /// Whether every sum, list and heap agrees with the rows.
    pub ok: bool,
    /// The first that does not.
    pub broken: Option<&'static str>,
    pub arrived: u64,
    pub queued: u64,
    pub running: u64,
    pub closing: u64,
    pub finished: u64,
}

impl Ledger<'_> {
    /// Counts the rows anew and compares every sum, list and heap with them.
    pub(crate) fn invariants(&mut self, recount: &mut Recount) -> Invariants {
        let counted = recount.count_all(self);
        let granted = recount.rows_in(State::Granted);
        let mut found = Invariants {
            ok: true,
            broken: None,
            arrived: self.globals.arrived,
            queued: recount.rows_in(State::Queued),
            running: granted + recount.rows_in(State::Running),
            closing: recount.rows_in(State::Closing),
            finished: self.globals.finished,
        };
        found.broken = counted.and_then(|()| self.compare(recount, &found)).err();
        found.ok = found.broken.is_none();
        found
    }

    fn compare(&mut self, recount: &Recount, sums: &Invariants) -> Result<(), Disagreement> {
        if sums.arrived != sums.queued + sums.running + sums.closing + sums.finished {
            return Err("arrived = queued + running + closing + finished");
        }
        recount.compare(self)?;
        let told = recount.rows_in(State::Granted) + recount.rows_in(State::Refused);
        if self.count_notifications() != Some(told) {
            return Err("notifications");
        }
        if self.count_free_rows() != Some(recount.rows_in(State::Free)) {
            return Err("the free rows");
        }
        if !self.tables_agree() {
            return Err("the tables of tenants and flows");
        }
        Ok(())
    }

    /// Notifications of all workers; `None` if one is of another worker, or of a row that nothing happened
    /// to.
    fn count_notifications(&self) -> Option<u64> {
        let mut count = 0;
        for (index, worker) in self.workers.iter().enumerate() {
            let mut at = worker.head;
            while at != NONE {
                let row = &self.rows[at as usize];
                count += 1;
                let is_news = matches!(row.state(), State::Granted | State::Refused);
                let is_own = usize::from(row.owner.worker) == index;
                if !is_news || !is_own || count > self.rows.len() as u64 {
                    return None;
                }
                at = row.next;
            }
        }
        Some(count)
    }

    /// Rows in the free list; `None` if one of them is not free.
    fn count_free_rows(&self) -> Option<u64> {
        let (mut free, mut count) = (self.globals.free, 0);
        while free.is_listed() {
            let at = free.peek(&self.rows)?;
            count += 1;
            if self.rows[at as usize].state() != State::Free || count > self.rows.len() as u64 {
                return None;
            }
            free.pop(&self.rows);
        }
        Some(count)
    }

    /// Whether each tenant and each flow is found by its key.
    fn tables_agree(&mut self) -> bool {
        let tenants = (0..self.globals.tenants.high_water()).all(|at| {
            let key = self.tenants[at].key();
            Table::find(&self.tenant_buckets, &self.tenants, key) == Some(at as u32)
        });
        let flows = (0..self.globals.flows.high_water()).all(|at| {
            let key = self.flows[at].key();
            Table::find(&self.flow_buckets, &self.flows, key) == Some(at as u32)
        });
        tenants && flows
    }
}
