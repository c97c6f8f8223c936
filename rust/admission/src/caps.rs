//! Caps and what is used of them.

use super::row::Resources;
use crate::shm::plain;

/// No limit of this kind.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// A cap on slots, and all that is used under it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    limit: u32,
    /// Slots of those under it that a backend is kept free for.
    pub(super) promised: u32,
    pub used: Resources,
}

plain!(Cap);

impl Cap {
    pub(super) fn new(limit: Option<u32>) -> Self {
        let limit = limit.unwrap_or(UNLIMITED);
        Cap { limit, promised: 0, used: Resources::default() }
    }

    /// The limit in slots, if there is one.
    pub fn limit(&self) -> Option<u32> {
        (self.limit != UNLIMITED).then_some(self.limit)
    }

    pub(super) fn bound(&self) -> u32 {
        self.limit
    }

    pub(super) fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit.unwrap_or(UNLIMITED);
    }

    /// A lowered limit may lie below what is used: then nothing fits until enough has ended.
    pub(super) fn has_room(&self, slots: u32) -> bool {
        self.used.slots.saturating_add(slots) <= self.limit
    }

    pub(super) fn take(&mut self, resources: Resources) {
        self.used = self.used.plus(resources);
    }

    pub(super) fn give_back(&mut self, resources: Resources) {
        self.used.slots -= resources.slots;
        self.used.prefill -= resources.prefill;
        self.used.kv -= resources.kv;
    }
}
