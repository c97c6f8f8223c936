//! The core of Penstock: every rule of the gateway, and no I/O.
//!
//! Bytes, events and time go in; bytes and actions come out. There is no socket, no clock, no
//! thread and no Python here, so every rule is tested on plain memory and virtual time. Only [`shm`]
//! touches the machine: memory and a lock that several processes share.
//!
//! In the order in which a request meets them:
//!
//! * [`http`]: heads, body framing, the answers that Penstock writes itself
//! * [`json`]: one-pass reader of byte ranges, and edits by splicing
//! * [`openai`]: the request's view, chunks, whole answers, errors
//! * [`profile`]: what one family of model servers does differently from the others
//! * [`routing`]: tiers, backends and names
//! * [`tokens`]: bounds and estimates of prompt sizes
//! * [`admission`]: when a request may go, and where
//! * [`exchange`]: one proxied request from grant to end
//! * [`sse`] and [`dialect`]: what comes back, scanned and put right
//! * [`metrics`]: what is counted
//! * [`scan`] and [`decimal`]: the small loops below all of it
//! * [`segment`]: where all of this lies when several processes share it; [`names`] likewise

#![deny(unsafe_code)]

pub mod client;
pub mod dialect;
pub mod exchange;
pub mod generation;
pub mod identity;
pub mod metrics;
pub mod openai;
pub mod profile;
pub mod routing;
pub mod segment;
pub mod time;
pub mod tokens;
pub mod worker;
