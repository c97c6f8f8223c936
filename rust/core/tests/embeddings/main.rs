//! `/v1/embeddings`: requests and answers, compared with an oracle built on `serde_json`.

#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod requests;
mod wire;
