//! `/v1/completions`: what is refused, what is sent, and what becomes of the answers, against `serde_json`.

#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod oracle;
mod requests;
mod splits;
mod wire;
