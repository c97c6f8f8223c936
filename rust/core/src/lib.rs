//! The core of Penstock: every rule of the gateway, and no I/O.
//!
//! Bytes, events and time go in; bytes and actions come out. There is no socket, no clock, no
//! thread and no Python here, so every rule is tested on plain memory and virtual time.
//!
//! In the order in which a request meets them:
//!
//! * [`client`] and [`identity`]: a client's connection, and who its requests come from
//! * [`endpoint`]: the API endpoints: how requests are read, what they cost, what answers look like
//! * [`openai`]: what all endpoints share: errors, token counts, members of answers
//! * [`profile`]: how each family of model servers differs from the others
//! * [`routing`]: which tier and backends serve a model name, and how parameters are rewritten
//! * [`tokens`]: bounds and estimates of prompt sizes
//! * [`exchange`]: one proxied request from grant to end
//! * [`rules`]: normalisation of answers into the one shape that clients see
//! * [`metrics`]: counters, gauges and histograms
//! * [`access_log`]: the log line of a finished request
//! * [`segment`]: the memory that all processes share

#![deny(unsafe_code)]

pub mod access_log;
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
