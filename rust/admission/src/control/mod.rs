//! Changes from outside: limits, health, time.

pub(crate) mod change;
pub(crate) mod tick;
