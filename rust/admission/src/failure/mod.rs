//! Backends that cannot be reached, and workers that died or stopped.

pub(crate) mod outage;
pub(crate) mod quarantine;
pub(crate) mod rebuild;
pub(crate) mod reclaim;
pub(crate) mod stalled;
