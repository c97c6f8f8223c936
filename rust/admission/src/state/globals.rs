//! What there is one of.

use super::crash_log::CrashLog;
use super::free_rows::FreeRows;
use super::table::Table;
use crate::shm::plain;
use crate::time::Nanos;

/// What there is one of.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Globals {
    pub(crate) free: FreeRows,
    pub(crate) tenants: Table,
    pub(crate) flows: Table,
    /// Tiers with something waiting, bit by bit.
    pub(crate) waiting: u64,
    /// Workers to be woken once the lock is free, bit by bit.
    pub(crate) wake: u64,
    pub(crate) sequence: u64,
    pub(crate) grants: u64,
    pub(crate) arrived: u64,
    pub(crate) finished: u64,
    /// The latest time seen: a clock that jumps back is not believed.
    pub(crate) now: Nanos,
    pub(crate) ticked: Nanos,
    pub(crate) random: u64,
    /// Rows of dead workers whose grace runs.
    pub(crate) orphans: u32,
    /// Backends that are kept free.
    pub(crate) reservations: u32,
    pub(crate) crash_log: CrashLog,
}

plain!(Globals);
