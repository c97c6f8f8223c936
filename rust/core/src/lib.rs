//! The core of Penstock: every rule of the gateway, and no I/O.
//!
//! Bytes, events and time go in; bytes and actions come out. There is no socket, no clock, no
//! thread and no Python here, so every rule is tested on plain memory and virtual time.
//!
//! In the order in which a request meets them:
//!
//! * [`client`] and [`identity`]: a client's connection, and who its requests come from
//! * [`endpoint`]: what is served: how a request is read, what it takes, what its answers are
//! * [`openai`]: what all endpoints have in common: errors, token counts, members of answers
//! * [`profile`]: what one family of model servers does differently from the others
//! * [`routing`]: tiers, backends and names
//! * [`tokens`]: bounds and estimates of prompt sizes
//! * [`exchange`]: one proxied request from grant to end
//! * [`rules`]: what comes back, put right
//! * [`metrics`]: what is counted
//! * [`segment`]: where all of this lies when several processes share it

#![deny(unsafe_code)]

pub mod client;
pub mod endpoint;
pub mod exchange;
pub mod generation;
pub mod identity;
pub mod metrics;
pub mod openai;
pub mod profile;
pub mod routing;
pub mod rules;
pub mod segment;
pub mod time;
pub mod tokens;
mod trace;
pub mod worker;
