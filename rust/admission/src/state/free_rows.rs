//! The rows that are not in use.

use super::heap::NONE;
use super::row::Row;

/// A list of rows that were used before, and a high-water mark behind which none was.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreeRows {
    head: u32,
    high_water: u32,
}

impl FreeRows {
    pub(crate) const ALL: FreeRows = FreeRows { head: NONE, high_water: 0 };

    /// None of the first `high_water` rows is free.
    pub(crate) fn up_to(high_water: u32) -> Self {
        FreeRows { head: NONE, high_water }
    }

    pub(crate) fn peek(self, rows: &[Row]) -> Option<u32> {
        match self.head {
            NONE => ((self.high_water as usize) < rows.len()).then_some(self.high_water),
            head => Some(head),
        }
    }

    /// Whether a row that was used before is free.
    pub(crate) fn is_listed(self) -> bool {
        self.head != NONE
    }

    /// Takes the row that [`Self::peek`] has shown.
    pub(crate) fn pop(&mut self, rows: &[Row]) {
        match self.head {
            NONE => self.high_water += 1,
            head => self.head = rows[head as usize].next,
        }
    }

    pub(crate) fn push(&mut self, rows: &mut [Row], at: u32) {
        rows[at as usize].next = self.head;
        self.head = at;
    }

    /// Number of rows that were ever used.
    pub(crate) fn high_water(self) -> usize {
        self.high_water as usize
    }
}
