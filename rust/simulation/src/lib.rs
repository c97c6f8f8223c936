//! The whole gateway in one thread, on virtual time, from one seed.
//!
//! Clients, workers, a control, backends and all dangers between them are one list of events ([`agenda`]). Each is told to
//! the core's own code: `client::ClientConnection` and `worker::Worker` over one segment in ordinary memory. After every
//! event [`world`] checks what must always hold:
//!
//! * no backend runs more than its limit, as the backend itself counts
//! * each permit has one owner
//! * arrived = queued + running + closing + finished, and admission's sums agree with its rows
//! * every byte of an answer is of the request that it answers
//! * no stream ends cleanly without a terminal event
//! * every request ends
//!
//! The same seed gives the same run, so a failure is repeated by its options, and [`shrink`] finds fewer of them.

#![deny(unsafe_code)]

pub mod agenda;
pub mod answer;
pub mod backend;
pub mod client;
pub mod link;
pub mod process;
pub mod random;
pub mod scenario;
pub mod shrink;
pub mod socket;
pub mod table;
pub mod world;
