//! The types of the interface: what is asked of admission, and what it answers.

pub(crate) mod decision;
pub(crate) mod ids;
pub(crate) mod offer;
pub(crate) mod report;
