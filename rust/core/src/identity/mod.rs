//! Who a request comes from: tenant, priority and session, resolved here for the lane and for aiohttp.

mod attributes;
mod headers;

pub use attributes::{RequestAttributes, UnknownPriority, priority_of, tenant_of};
pub use headers::IdentityHeaders;
