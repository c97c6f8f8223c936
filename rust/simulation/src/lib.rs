//! The whole gateway in one thread, on virtual time, from one seed.
//!
//! Clients, workers, the control process, backends and all faults are events in one queue ([`agenda`]). Each event is
//! passed to the core's own code: `client::ClientConnection` and `worker::Worker`, on one segment in ordinary memory.
//! After every event, [`world`] checks these invariants:
//!
//! * no backend runs more than its limit, by the backend's own count
//! * each permit has one owner
//! * arrived = queued + running + closing + finished, and admission's sums agree with its rows
//! * no answer contains a byte of another request
//! * no stream ends cleanly without a terminal event
//! * every request ends
//!
//! The same seed and options give the same run, so every failure can be repeated, and [`shrink`] reduces its options.

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
