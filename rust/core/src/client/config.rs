//! What all connections of a listener have in common.

use penstock_wire::http::{DecoderConfig, Request, RequestLines};

use crate::endpoint::ENDPOINTS;
use crate::identity::{IdentityHeaders, RequestAttributes, UnknownPriority};

/// What all connections of a listener have in common: the limits of a request, and the headers that are read.
#[derive(Debug)]
pub struct ClientConfig {
    pub http: DecoderConfig,
    pub identity: IdentityHeaders,
}

/// Its index among the captured headers.
const REQUEST_ID: usize = 0;

impl ClientConfig {
    /// `head` and `body`: most bytes of each.
    pub fn new(head: usize, body: u64, identity: IdentityHeaders) -> Self {
        let mut captured = vec!["x-request-id".to_owned()];
        for name in identity.names() {
            // One header may have several jobs.
            if !captured.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                captured.push(name.clone());
            }
        }
        let lines = RequestLines::new(ENDPOINTS.iter().map(|endpoint| endpoint.path()));
        let http = DecoderConfig { lines, max_head: head, max_body: body, captured };
        ClientConfig { http, identity }
    }

    pub fn request_id<'a>(request: &'a Request<'_>) -> Option<&'a str> {
        request.captured(REQUEST_ID)
    }

    /// Who a request comes from.
    pub fn attributes(
        &self,
        request: &Request<'_>,
        trusted: bool,
    ) -> Result<RequestAttributes, UnknownPriority> {
        let place =
            |name: &str| self.http.captured.iter().position(|own| own.eq_ignore_ascii_case(name));
        self.identity.resolve(|name| request.captured(place(name)?), trusted)
    }
}
