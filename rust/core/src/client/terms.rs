//! What all connections of a listener have in common.

use penstock_wire::http::{Request, RequestLines, Terms};

use crate::endpoint::ENDPOINTS;
use crate::identity::{IdentityHeaders, RequestAttributes, UnknownPriority};

/// What all connections of a listener have in common: the limits of a request, and the headers that are read.
#[derive(Debug)]
pub struct ClientTerms {
    pub http: Terms,
    pub identity: IdentityHeaders,
}

/// The place of `x-request-id` among the noted headers.
const REQUEST_ID: usize = 0;

impl ClientTerms {
    /// `head` and `body`: most bytes of each.
    pub fn new(head: usize, body: u64, identity: IdentityHeaders) -> Self {
        let mut noted = vec!["x-request-id".to_owned()];
        for name in identity.names() {
            // One header may have several jobs.
            if !noted.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                noted.push(name.clone());
            }
        }
        let lines = RequestLines::of(ENDPOINTS.iter().map(|endpoint| endpoint.path()));
        ClientTerms { http: Terms { lines, head, body, noted }, identity }
    }

    pub fn request_id<'a>(request: &'a Request<'_>) -> Option<&'a str> {
        request.noted(REQUEST_ID)
    }

    /// Who a request comes from.
    pub fn attributes(
        &self,
        request: &Request<'_>,
        trusted: bool,
    ) -> Result<RequestAttributes, UnknownPriority> {
        let place =
            |name: &str| self.http.noted.iter().position(|noted| noted.eq_ignore_ascii_case(name));
        self.identity.resolve(|name| request.noted(place(name)?), trusted)
    }
}
