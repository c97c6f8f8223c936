//! `/v1/completions`: requests and answers, compared with an oracle built on `serde_json`.

#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod oracle;
mod requests;
mod splits;
mod wire;
