//! All policy of one worker process, without I/O.
//!
//! Events with their time go in (a request was read, a connection opened, bytes came, a client left, time passed);
//! [`Effects`] come out (connect, write, pause, half-close, close, answer done). Sockets, clocks and Python are the
//! caller's, which names clients and connections by ids. So one process can run several workers on virtual time.
//!
//! | to know | read |
//! |---|---|
//! | state, and the way of a request in | `machine` |
//! | what is asked of admission, and its grants | `admit` |
//! | connections to backends: opened, bytes, ends | `upstream` |
//! | failed attempts: again, elsewhere, or not | `retry`, `outage` |
//! | errors instead of an attempt | `refuse` |
//! | how a request ends for its client | `finish` |
//! | how an attempt ends for its backend, permits in `closing` | `release` |
//! | timers, leaked permits | `timers` |
//! | drain, shutdown, a panic | `drain` |
//! | a new generation of the configuration | `reload` |
//! | what must always hold | `invariants` |

mod admit;
mod connection;
mod drain;
mod effects;
pub mod faults;
mod finish;
mod ids;
mod invariants;
mod machine;
mod outage;
mod pool;
mod refuse;
mod release;
mod reload;
mod request;
mod retry;
mod served_names;
mod slab;
mod timers;
mod upstream;

pub use connection::ConnectionId;
pub use effects::Effects;
pub use ids::Ids;
pub use machine::{Submitted, TICK, Worker};
pub use outage::Outage;
pub use refuse::code_of;
pub use request::{ClientId, RequestId};
pub use slab::{Key, Slab};
