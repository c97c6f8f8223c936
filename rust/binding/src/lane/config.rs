//! `LaneConfig`: what all lane connections of a listener have in common.

use std::collections::HashMap;

use penstock_core::client::ClientConfig;
use penstock_core::identity::IdentityHeaders;
use penstock_wire::http::RequestDecoder;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::attributes::RequestAttributes;

/// Shared by all connections of a listener.
#[pyclass(frozen, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct LaneConfig {
    pub(super) client: ClientConfig,
}

#[pymethods]
impl LaneConfig {
    /// Limits in bytes, and the names of the headers that are configured.
    #[new]
    #[pyo3(signature = (*, head, body, tenant, priority, sessions))]
    fn new(
        head: usize,
        body: u64,
        tenant: Option<String>,
        priority: Option<String>,
        sessions: Vec<String>,
    ) -> Self {
        let identity = IdentityHeaders { tenant, priority, sessions };
        LaneConfig { client: ClientConfig::new(head, body, identity) }
    }

    /// The headers whose values `attributes` needs, in lower case, each once.
    #[getter]
    fn identity_headers(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.client.identity.names().map(|name| name.to_ascii_lowercase()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The attributes of a request. `values`: the last value of each of `identity_headers` that it has; `trusted`:
    /// the peer's tenant and priority headers count. A priority that does not exist is a `ValueError`.
    #[allow(clippy::needless_pass_by_value)] // PyO3 passes dictionaries as maps
    fn attributes(
        &self,
        values: HashMap<String, String>,
        trusted: bool,
    ) -> PyResult<RequestAttributes> {
        let value = |name: &str| values.get(&name.to_ascii_lowercase()).map(String::as_str);
        let identity = &self.client.identity;
        identity.resolve(value, trusted).map(RequestAttributes).map_err(|unknown| {
            let header = identity.priority.as_deref().unwrap_or_default();
            PyValueError::new_err(unknown.message(header, value(header).unwrap_or_default()))
        })
    }

    /// Whether these bytes begin with the whole head of a request that the lane supports.
    fn supports(&self, data: &[u8]) -> bool {
        RequestDecoder::supports(&self.client.http, data)
    }
}
