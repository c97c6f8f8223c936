//! What is learned from the requests that were served.

pub(crate) mod first_tokens;
pub(crate) mod lengths;
pub(crate) mod prefill_rate;
pub(crate) mod quantile;
pub(crate) mod rate;
