//! The permits that are held, and since when.

use crate::api::ids::{BackendIndex, Owner, Ticket};
use crate::state::ledger::Ledger;
use crate::state::row::{Row, State};
use crate::time::Nanos;

/// Rows that are looked at under one taking of the lock.
pub(crate) const ROWS_AT_ONCE: usize = 4096;

impl Ledger<'_> {
    /// The permits of one worker's life among the rows from `from` on, as long as they are in
    /// `out`'s capacity; returns where to go on.
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

    /// When the one that runs longest on a backend was granted, of `rows` that begin at `from`;
    /// returns where to go on, too.
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
