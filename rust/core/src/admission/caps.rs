//! Caps and what is used of them.

use super::row::Resources;
use crate::time::Nanos;

/// A cap on slots, and what is used under it. `limit` `None`: no limit of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cap {
    pub limit: Option<u32>,
    pub used: Resources,
}

impl Cap {
    pub(super) fn new(limit: Option<u32>) -> Self {
        Cap { limit, used: Resources::default() }
    }

    /// A lowered limit may lie below what is used: then nothing fits until enough has ended.
    pub(super) fn has_room(&self, slots: u32) -> bool {
        self.limit.is_none_or(|limit| self.used.slots.saturating_add(slots) <= limit)
    }

    pub(super) fn take(&mut self, resources: Resources) {
        self.used.slots += resources.slots;
        self.used.prefill += resources.prefill;
        self.used.kv += resources.kv;
    }

    pub(super) fn give_back(&mut self, resources: Resources) {
        self.used.slots -= resources.slots;
        self.used.prefill -= resources.prefill;
        self.used.kv -= resources.kv;
    }
}

/// Whether a backend may get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not known yet; it may be tried.
    Unknown,
    Healthy,
    Down,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BackendState {
    pub(super) cap: Cap,
    pub(super) node: Option<usize>,
    pub(super) health: Health,
    /// After a bounce: no grant until then.
    pub(super) closed_until: Nanos,
    /// When it was last granted something, as a count: equal ones take turns.
    pub(super) last_grant: u64,
}

impl BackendState {
    /// Whether it could ever take a request in its present state.
    pub(super) fn is_usable(&self) -> bool {
        self.health != Health::Down && self.cap.limit != Some(0)
    }
}
