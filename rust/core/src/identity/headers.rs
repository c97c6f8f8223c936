//! The headers that say who a request comes from, and what they come to.

use super::attributes::{RequestAttributes, UnknownPriority, shortened};

/// The configured names of the headers that say who a request comes from.
#[derive(Debug, Clone, Default)]
pub struct IdentityHeaders {
    /// `access.tenant_header`.
    pub tenant: Option<String>,
    /// `access.priority_header`.
    pub priority: Option<String>,
    /// `tiers.*.affinity.header` of all tiers.
    pub sessions: Vec<String>,
}

impl IdentityHeaders {
    /// Resolves a request. `value` gives the last value of a header. Tenant and priority count only from a `trusted`
    /// peer (`trusted_proxies`); sessions count from everybody.
    pub fn resolve<'a>(
        &self,
        value: impl Fn(&str) -> Option<&'a str>,
        trusted: bool,
    ) -> Result<RequestAttributes, UnknownPriority> {
        let named = |name: &String| Some((name.clone(), shortened(value(name)?).to_owned()));
        let sessions = self.sessions.iter().filter_map(named).collect();
        let trusted_value =
            |name: &Option<String>| name.as_deref().filter(|_| trusted).and_then(&value);
        let (tenant, priority) = (trusted_value(&self.tenant), trusted_value(&self.priority));
        RequestAttributes::new(tenant, priority, sessions)
    }

    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.tenant.iter().chain(&self.priority).chain(&self.sessions)
    }
}
