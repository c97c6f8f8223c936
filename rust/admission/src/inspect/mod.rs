//! What is seen from outside, and whether it all agrees.

pub(crate) mod invariants;
pub(crate) mod permits;
pub(crate) mod recount;
pub(crate) mod status;
