//! Whole answers assembled from streams: compared with an oracle and with the stream itself, and in edge cases.

#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod oracle;
mod properties;
mod recorded;
mod rules;
mod splits;
mod times;
mod wire;
