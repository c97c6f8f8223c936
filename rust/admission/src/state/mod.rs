//! The whole state of admission in shared memory.

pub(crate) mod backend;
pub(crate) mod caps;
pub(crate) mod crash_log;
pub(crate) mod flow;
pub(crate) mod free_rows;
pub(crate) mod globals;
pub(crate) mod heap;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod lookup;
pub(crate) mod outage;
pub(crate) mod part;
pub(crate) mod parts;
pub(crate) mod row;
pub(crate) mod sizes;
pub(crate) mod table;
pub(crate) mod tenant;
pub(crate) mod tier;
pub(crate) mod usage;
pub(crate) mod worker;
