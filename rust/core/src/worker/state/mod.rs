//! What a worker remembers. Nothing is decided here.
//!
//! | to know | read |
//! |---|---|
//! | ids of clients, requests and connections, which go stale | `ids`, over `slab` |
//! | request ids and answer ids, as clients see them | `unique_ids` |
//! | a request in hand | `request` |
//! | a connection to a backend, and those that are idle | `connection`, `pool` |
//! | an aborted request whose permit is still taken | `aborting` |
//! | a backend that requests do not get through to | `outage` |
//! | the model names of the backends | `served_names` |

mod aborting;
mod connection;
mod ids;
mod outage;
mod pool;
mod request;
mod served_names;
mod slab;
mod unique_ids;

pub use ids::{ClientId, ConnectionId, RequestId};
pub use outage::Outage;
pub use slab::{Key, Slab};
pub use unique_ids::Ids;

pub(super) use aborting::Aborting;
pub(super) use connection::{ConnectionState, Connections};
pub(super) use outage::Trial;
pub(super) use pool::Pool;
pub(super) use request::{Request, Requests};
pub(super) use served_names::ServedNames;
