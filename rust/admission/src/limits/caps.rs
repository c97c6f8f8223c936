//! Caps and what is used of them.

use crate::shm::plain;

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

    pub(crate) fn plus(self, more: Self) -> Self {
        Self::new(self.slots + more.slots, self.prefill + more.prefill, self.kv + more.kv)
    }
}

/// No limit of this kind.
pub(crate) const UNLIMITED: u32 = u32::MAX;

/// A cap on slots, and all that is used under it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    limit: u32,
    /// Slots of those under it that a backend is kept free for.
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

    pub(crate) fn bound(&self) -> u32 {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit.unwrap_or(UNLIMITED);
    }

    /// A lowered limit may lie below what is used: then nothing fits until enough has ended.
    pub(crate) fn has_room(&self, slots: u32) -> bool {
        self.used.slots.saturating_add(slots) <= self.limit
    }

    pub(crate) fn charge(&mut self, resources: Resources) {
        self.used = self.used.plus(resources);
    }

    pub(crate) fn refund(&mut self, resources: Resources) {
        self.used.slots -= resources.slots;
        self.used.prefill -= resources.prefill;
        self.used.kv -= resources.kv;
    }
}
