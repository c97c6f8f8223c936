//! Whole answers made of streams: against a slow oracle, against the stream itself, and at the edges.

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
