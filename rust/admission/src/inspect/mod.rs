//! Status for operators, and checks of consistency.

#[cfg(debug_assertions)]
pub(crate) mod assertions;
pub(crate) mod invariants;
pub(crate) mod permits;
pub(crate) mod recount;
pub(crate) mod status;
