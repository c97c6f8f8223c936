//! Limits on the prompt tokens that a backend processes at once, and on the tokens in its KV cache.

/// A limit on tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenLimit {
    None,
    /// Learned while serving: prefill from the rate, KV from what the engine reports.
    Auto,
    Tokens(u64),
}

/// A [`TokenLimit`] as it lies in shared memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredLimit {
    /// `u64::MAX`: no limit, or none learned yet.
    pub(crate) tokens: u64,
    pub(crate) auto: u64,
}

impl StoredLimit {
    /// `first`: holds until more is learned.
    pub(crate) fn new(limit: TokenLimit, first: u64) -> Self {
        let tokens = match limit {
            TokenLimit::None => u64::MAX,
            TokenLimit::Auto => first,
            TokenLimit::Tokens(tokens) => tokens,
        };
        StoredLimit { tokens, auto: u64::from(limit == TokenLimit::Auto) }
    }
}
