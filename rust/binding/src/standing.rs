//! Who a request comes from, as far as that decides when and where it runs.

use std::hash::{DefaultHasher, Hash, Hasher};

use penstock_admission::{Blocks, Priority, Tenant};
use penstock_core::routing::Tier;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) tenant: Tenant,
    pub(crate) band: Priority,
    /// Names of sessions, by header: each draws its requests to one backend.
    pub(crate) sessions: Vec<(String, String)>,
}

impl Standing {
    pub(crate) fn of(
        tenant: Option<&str>,
        band: Option<&str>,
        sessions: Option<Vec<(String, String)>>,
    ) -> PyResult<Self> {
        Ok(Standing {
            tenant: tenant_of(tenant),
            band: band_of(band)?,
            sessions: sessions.unwrap_or_default(),
        })
    }

    /// What draws it together with others in this tier.
    pub(crate) fn session(&self, tier: &Tier) -> Blocks {
        let header = tier.affinity.header.as_deref();
        let own = self.sessions.iter().find(|(name, _)| Some(name.as_str()) == header);
        own.map_or_else(Blocks::default, |(_, name)| Blocks::of_name(name.as_bytes()))
    }
}

pub(crate) fn band_of(name: Option<&str>) -> PyResult<Priority> {
    match name {
        None | Some("normal") => Ok(Priority::Normal),
        Some("high") => Ok(Priority::High),
        Some("low") => Ok(Priority::Low),
        Some(other) => Err(PyValueError::new_err(format!("no band {other:?}"))),
    }
}

pub(crate) fn tenant_of(name: Option<&str>) -> Tenant {
    name.map_or(Tenant::UNKNOWN, |name| {
        // The same in every process: this hasher's keys are fixed.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Tenant::named(hasher.finish())
    })
}
