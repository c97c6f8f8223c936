//! The permits in use, and since when.

use crate::api::ids::{BackendIndex, Owner, Ticket};
use crate::state::ledger::Ledger;
use crate::state::row::{Row, State};
use crate::time::Nanos;

/// Rows that are read under one lock.
pub(crate) const ROWS_AT_ONCE: usize = 4096;

impl Ledger<'_> {
    /// Adds the permits of one owner to `out`, from row `from` on, as far as its capacity goes. Returns
    /// where to continue.
    pub(crate) fn permits_of(
        &self,
        owner: Owner,
        from: usize,
        out: &mut Vec<Ticket>,
    ) -> Option<usize> {
        let end = self.globals.free.high_water().min(from + ROWS_AT_ONCE);
        for at in from..end {
            let row = &self.rows[at];
            if row.owner == owner && row.holds_permit() {
                out.push(row.ticket(at as u32));
            }
        }
        (end < self.globals.free.high_water()).then_some(end)
    }

    /// When the longest running request of a backend was granted, of the rows from `from` on, and where to
    /// continue.
    pub(crate) fn oldest_running(
        &self,
        backend: BackendIndex,
        from: usize,
    ) -> (Option<Nanos>, Option<usize>) {
        let end = self.globals.free.high_water().min(from + ROWS_AT_ONCE);
        let rows = self.rows[from..end].iter();
        let runs = |row: &&Row| row.state() == State::Running && row.backend == backend;
        let oldest = rows.filter(runs).map(|row| row.granted).min();
        (oldest, (end < self.globals.free.high_water()).then_some(end))
    }
}
