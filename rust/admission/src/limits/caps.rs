//! One cap: how many slots may be in use under it, and what is.

use crate::shm::plain;

/// No limit of this kind.
pub(crate) const UNLIMITED: u32 = u32::MAX;

/// What a request takes of a backend.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Running sequences: `n` of a chat request.
    pub slots: u32,
    _padding: u32,
    /// Uncached prompt tokens, until the first token.
    pub prefill: u64,
    /// Prompt and expected output tokens, until the end.
    pub kv: u64,
}

impl Resources {
    pub fn new(slots: u32, prefill: u64, kv: u64) -> Self {
        Resources { slots, _padding: 0, prefill, kv }
    }

    /// KV memory alone.
    pub(crate) fn kv(tokens: u64) -> Self {
        Self::new(0, 0, tokens)
    }

    pub(crate) fn plus(self, more: Self) -> Self {
        Self::new(self.slots + more.slots, self.prefill + more.prefill, self.kv + more.kv)
    }

    pub(crate) fn minus(self, less: Self) -> Self {
        Self::new(self.slots - less.slots, self.prefill - less.prefill, self.kv - less.kv)
    }
}

/// A limit on slots, and everything in use under it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    limit: u32,
    /// Slots of waiting requests that have reserved a backend under it.
    pub(crate) reserved: u32,
    pub used: Resources,
}

plain!(Cap);

impl Cap {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        let limit = limit.unwrap_or(UNLIMITED);
        Cap { limit, reserved: 0, used: Resources::default() }
    }

    /// The limit in slots, if there is one.
    pub fn limit(&self) -> Option<u32> {
        (self.limit != UNLIMITED).then_some(self.limit)
    }

    /// The limit in slots; [`UNLIMITED`] if there is none.
    pub(crate) fn bound(&self) -> u32 {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit.unwrap_or(UNLIMITED);
    }

    /// A lowered limit may be below what is used: then nothing fits until enough has ended.
    pub(crate) fn has_room(&self, slots: u32) -> bool {
        self.used.slots.saturating_add(slots) <= self.limit
    }
}
