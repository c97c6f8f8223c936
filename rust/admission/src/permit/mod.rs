//! From the permit of a request to its end.

pub(crate) mod prefill;
pub(crate) mod progress;
pub(crate) mod release;
pub(crate) mod requeue;
