//! All policy of one worker process, without I/O.
//!
//! Events with their time go in (a request was read, a connection opened, bytes came, a client left, time passed);
//! [`Effects`] come out (connect, write, pause, half-close, close, answer done). Sockets, clocks and Python are the
//! caller's, which names clients and connections by ids. So one process can run several workers on virtual time.
//!
//! | to know | read |
//! |---|---|
//! | one worker, and what it tells of itself | `machine` |
//! | what it remembers | `state` |
//! | what it has done for it | `effects` |
//! | a request is read: refused, queued or begun | `submit` |
//! | what is asked of admission, and its grants | `admit` |
//! | an attempt begins, on a connection that is idle or new | `start` |
//! | connections to backends: opened, bytes, ends | `upstream` |
//! | whether requests get through to a backend | `reachability` |
//! | failed attempts: again, elsewhere, or not | `retry` |
//! | errors instead of an attempt | `refuse` |
//! | what a client gets, and the record of it | `answer` |
//! | a client stops reading, or leaves | `client` |
//! | how an attempt ends for its backend, permits in `closing` | `release` |
//! | timers, leaked permits | `timers` |
//! | drain, shutdown, a panic | `drain` |
//! | a new generation of the configuration | `reload` |
//! | a panic on demand, for tests | `faults` |
//! | what must always hold | `invariants` |

mod admit;
mod answer;
mod client;
mod drain;
mod effects;
pub mod faults;
mod invariants;
mod machine;
mod reachability;
mod refuse;
mod release;
mod reload;
mod retry;
mod start;
mod state;
mod submit;
mod timers;
mod upstream;

pub use effects::Effects;
pub use machine::{TICK, Worker};
pub use refuse::code_of;
pub use state::{ClientId, ConnectionId, Ids, Key, Outage, RequestId, Slab};
pub use submit::Submitted;
