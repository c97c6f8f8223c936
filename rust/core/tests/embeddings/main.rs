//! `/v1/embeddings`: what is refused, what is sent, and what becomes of the answers, against `serde_json`.

#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod requests;
mod wire;
