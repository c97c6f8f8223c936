//! What all connections of a listener have in common, as Python makes it.

use penstock_core::client::ClientTerms;
use penstock_core::identity::IdentityHeaders;
use pyo3::prelude::*;

/// Made once, shared by all connections of a listener.
#[pyclass(frozen, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct LaneTerms {
    pub(crate) terms: ClientTerms,
}

#[pymethods]
impl LaneTerms {
    /// Limits in bytes; the names of the configured headers, if they are.
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
        LaneTerms { terms: ClientTerms::new(head, body, identity) }
    }

    /// Whether these bytes begin with the whole head of a request that the lane serves.
    fn serves(&self, data: &[u8]) -> bool {
        self.terms.http.serves(data)
    }
}
