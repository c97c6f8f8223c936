//! Who a request comes from, as far as that decides when and where it runs.

use std::hash::{DefaultHasher, Hash, Hasher};

use penstock_admission::{Blocks, Priority, Tenant};

use crate::routing::Tier;

/// Longer names of tenants and sessions are cut: they are told apart by a hash of them.
const LONGEST: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestAttributes {
    pub tenant: Tenant,
    pub priority: Priority,
    /// Names of sessions, by header: each draws its requests to one backend.
    pub sessions: Vec<(String, String)>,
}

/// A priority that is none of `high`, `normal` and `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownPriority;

/// Characters of it that a message shows.
const SHOWN: usize = 64;

impl UnknownPriority {
    /// What is wrong with the `value` of a header.
    pub fn message(self, header: &str, value: &str) -> String {
        let shown: String = value.trim().to_lowercase().chars().take(SHOWN).collect();
        format!("{header} is high, normal or low, not '{shown}'")
    }
}

impl Default for RequestAttributes {
    /// The unknown tenant, with normal priority.
    fn default() -> Self {
        let (tenant, priority) = (Tenant::UNKNOWN, Priority::Normal);
        RequestAttributes { tenant, priority, sessions: Vec::new() }
    }
}

impl RequestAttributes {
    /// `tenant` and `priority` as the headers say them, where they count; absent or empty: the unknown tenant, and
    /// `normal`.
    pub fn new(
        tenant: Option<&str>,
        priority: Option<&str>,
        sessions: Vec<(String, String)>,
    ) -> Result<Self, UnknownPriority> {
        Ok(RequestAttributes {
            tenant: tenant_of(tenant),
            priority: priority_of(priority)?,
            sessions,
        })
    }

    /// The session of this request in a tier, as the beginning of a prompt: requests with the same one prefer
    /// one backend.
    pub fn session(&self, tier: &Tier) -> Blocks {
        let header = tier.affinity.header.as_deref();
        let own = self.sessions.iter().find(|(name, _)| Some(name.as_str()) == header);
        own.map_or_else(Blocks::default, |(_, name)| Blocks::of_name(name.as_bytes()))
    }
}

/// A name as far as it counts; cut between characters.
pub(super) fn shortened(name: &str) -> &str {
    let end = (0..=LONGEST.min(name.len())).rev().find(|&at| name.is_char_boundary(at));
    &name[..end.unwrap_or(0)]
}

pub fn priority_of(priority: Option<&str>) -> Result<Priority, UnknownPriority> {
    let Some(priority) = priority else { return Ok(Priority::Normal) };
    let known = [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];
    let found = known.into_iter().find(|(name, _)| priority.trim().eq_ignore_ascii_case(name));
    found.map(|(_, band)| band).ok_or(UnknownPriority)
}

pub fn tenant_of(name: Option<&str>) -> Tenant {
    name.filter(|name| !name.is_empty()).map_or(Tenant::UNKNOWN, |name| {
        // The same in every process: this hasher's keys are fixed.
        let mut hasher = DefaultHasher::new();
        shortened(name).hash(&mut hasher);
        Tenant::named(hasher.finish())
    })
}
