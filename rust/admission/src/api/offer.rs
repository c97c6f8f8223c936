//! What is asked of admission: a request that wants a permit.

use super::ids::{BackendIndex, Owner, TierIndex};

/// Most backends that one request is compared on.
pub const MAX_CANDIDATES: usize = 8;

/// A backend that may serve a request, and how many prompt tokens its prefix cache probably holds.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidate {
    pub backend: BackendIndex,
    pub hit: u32,
}

/// The backends that may serve a request.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidates {
    list: [Candidate; MAX_CANDIDATES],
    count: u32,
}

impl Candidates {
    /// Takes the first [`MAX_CANDIDATES`].
    pub fn of(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let mut all = Candidates::default();
        for candidate in candidates.into_iter().take(MAX_CANDIDATES) {
            all.list[all.count as usize] = candidate;
            all.count += 1;
        }
        all
    }

    /// Backends about whose prefix cache nothing is known.
    pub fn cold(backends: impl IntoIterator<Item = BackendIndex>) -> Self {
        Self::of(backends.into_iter().map(|backend| Candidate { backend, hit: 0 }))
    }

    pub fn iter(&self) -> impl Iterator<Item = Candidate> + '_ {
        self.list[..self.count as usize].iter().copied()
    }
}

/// How urgent a request is among those of its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

pub(crate) const PRIORITIES: usize = 3;

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant {
    /// A hash of the tenant's name; 0: the request has no name, and no limit of a tenant applies.
    pub key: u64,
    /// Its share beside other tenants.
    pub weight: u32,
    /// Most slots in use at once, over all tiers.
    pub slots: Option<u32>,
}

impl Tenant {
    pub const UNKNOWN: Tenant = Tenant { key: 0, weight: 1, slots: None };

    /// A tenant without limits of its own. `key`: any number but 0, 1 and the largest tells it from others.
    pub fn named(key: u64) -> Self {
        Tenant { key: key.clamp(2, u64::MAX - 1), ..Self::UNKNOWN }
    }
}

/// A request that asks for a permit.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    pub owner: Owner,
    pub tier: TierIndex,
    pub tenant: Tenant,
    pub priority: Priority,
    /// Running sequences: `n` of a chat request.
    pub slots: u32,
    /// Estimated prompt tokens.
    pub prompt: u32,
    /// The limit on its output tokens, if it has one.
    pub max_tokens: Option<u32>,
    /// Whether it offers tools: answers with tools differ in length.
    pub tools: bool,
    /// Whether its answer is streamed, so that its first token is seen.
    pub streams: bool,
    /// Bytes kept in memory while it waits.
    pub bytes: u64,
    pub candidates: Candidates,
}
