//! Bounds on the tokens that a backend reads or holds at once.

/// A bound on tokens: given, found, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    None,
    /// Found out while serving: prefill from the learned rate, KV from the engine's own facts.
    Auto,
    Tokens(u64),
}

/// A `TokenLimit` as it lies in memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredLimit {
    /// `u64::MAX`: none, so far or for good.
    pub(crate) tokens: u64,
    pub(crate) auto: u64,
}

impl StoredLimit {
    /// `first`: what holds until more has been found out.
    pub(crate) fn new(limit: TokenLimit, first: u64) -> Self {
        let tokens = match limit {
            TokenLimit::None => u64::MAX,
            TokenLimit::Auto => first,
            TokenLimit::Tokens(tokens) => tokens,
        };
        StoredLimit { tokens, auto: u64::from(limit == TokenLimit::Auto) }
    }
}
