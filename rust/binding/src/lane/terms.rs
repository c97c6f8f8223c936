//! What all connections of the lane have in common: limits, and the headers that they read.

use penstock_core::endpoint::ENDPOINTS;
use penstock_wire::http::{Request, RequestLines, Terms};
use pyo3::prelude::*;

use crate::standing::{Standing, band_of, tenant_of};

/// Names are told apart by a hash of them; longer ones are no names.
const LONGEST: usize = 256;
/// The header at index 0 of those that are noted.
const REQUEST_ID: usize = 0;

/// Made once, shared by all connections of a listener.
#[pyclass(frozen, module = "penstock._core")]
#[derive(Debug)]
pub(crate) struct LaneTerms {
    pub(crate) terms: Terms,
    /// Index of each among the noted headers.
    tenant: Option<usize>,
    priority: Option<usize>,
    sessions: Vec<usize>,
}

impl LaneTerms {
    pub(crate) fn request_id<'a>(request: &'a Request<'_>) -> Option<&'a str> {
        request.noted(REQUEST_ID)
    }

    /// The id of a request whose body has not come.
    pub(crate) fn request_id_of(intake: &penstock_wire::http::Intake) -> Option<&str> {
        intake.noted(REQUEST_ID)
    }

    /// Who a request comes from. Tenant and priority count only from a `trusted` peer.
    /// `None`: its priority is none, which is aiohttp's to refuse.
    pub(crate) fn standing(&self, request: &Request<'_>, trusted: bool) -> Option<Standing> {
        let noted = |header: Option<usize>| header.and_then(|header| request.noted(header));
        let named = |header: usize| {
            let value = request.noted(header)?;
            Some((self.terms.noted[header].clone(), shortened(value).to_owned()))
        };
        let sessions = self.sessions.iter().filter_map(|&header| named(header)).collect();
        let (tenant, priority) =
            if trusted { (noted(self.tenant), noted(self.priority)) } else { (None, None) };
        let band = band_of(priority.map(str::to_ascii_lowercase).as_deref()).ok()?;
        let tenant = tenant_of(tenant.filter(|name| !name.is_empty()).map(shortened));
        Some(Standing { tenant, band, sessions })
    }
}

/// A hot head is ASCII, so a character is a byte.
fn shortened(name: &str) -> &str {
    name.get(..LONGEST).unwrap_or(name)
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
        let mut noted = vec!["x-request-id".to_owned()];
        // A header may have several jobs.
        let mut note = |name: String| {
            let known = noted.iter().position(|noted| noted.eq_ignore_ascii_case(&name));
            known.unwrap_or_else(|| {
                noted.push(name);
                noted.len() - 1
            })
        };
        LaneTerms {
            tenant: tenant.map(&mut note),
            priority: priority.map(&mut note),
            sessions: sessions.into_iter().map(&mut note).collect(),
            terms: Terms {
                lines: RequestLines::of(ENDPOINTS.iter().map(|endpoint| endpoint.path())),
                head,
                body,
                noted,
            },
        }
    }

    /// Whether these bytes begin with the whole head of a request that the lane serves.
    fn serves(&self, data: &[u8]) -> bool {
        self.terms.serves(data)
    }
}
