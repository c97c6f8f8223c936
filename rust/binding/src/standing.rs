//! Who a request comes from, as far as that decides when and where it runs.

use std::hash::{DefaultHasher, Hash, Hasher};

use penstock_core::admission::{Band, Blocks, Tenant};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) tenant: Tenant,
    pub(crate) band: Band,
    /// Draws the requests of one session to one backend.
    pub(crate) session: Blocks,
}

impl Standing {
    pub(crate) fn of(
        tenant: Option<&str>,
        band: Option<&str>,
        session: Option<&str>,
    ) -> PyResult<Self> {
        let band = match band {
            None | Some("normal") => Band::Normal,
            Some("high") => Band::High,
            Some("low") => Band::Low,
            Some(other) => return Err(PyValueError::new_err(format!("no band {other:?}"))),
        };
        Ok(Standing {
            tenant: tenant.map_or(Tenant::UNKNOWN, |name| Tenant::named(key_of(name))),
            band,
            session: session.map_or_else(Blocks::default, |name| Blocks::of_name(name.as_bytes())),
        })
    }
}

/// The same in every process: this hasher's keys are fixed.
fn key_of(tenant: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    tenant.hash(&mut hasher);
    hasher.finish()
}
