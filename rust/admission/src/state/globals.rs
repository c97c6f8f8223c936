//! State that exists once.

use super::crash_log::CrashLog;
use super::free_rows::FreeRows;
use super::table::Table;
use crate::shm::plain;
use crate::time::Nanos;

/// State that exists once.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Globals {
    pub(crate) free: FreeRows,
    pub(crate) tenants: Table,
    pub(crate) flows: Table,
    /// Tiers in which requests wait, as bits.
    pub(crate) waiting: u64,
    /// Workers to wake after the unlock, as bits.
    pub(crate) wake: u64,
    pub(crate) sequence: u64,
    pub(crate) grants: u64,
    pub(crate) arrived: u64,
    pub(crate) finished: u64,
    /// The latest time seen: a clock that goes back is ignored.
    pub(crate) now: Nanos,
    pub(crate) ticked: Nanos,
    pub(crate) random: u64,
    /// Rows of dead workers whose abort grace is not over.
    pub(crate) orphans: u32,
    /// Backends that are reserved.
    pub(crate) reservations: u32,
    pub(crate) crash_log: CrashLog,
}

plain!(Globals);
