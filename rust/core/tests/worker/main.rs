//! The policy of one worker, on private memory and virtual time: events go in, effects come out in order, and the
//! numbers of admission agree.

#![allow(unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod config;
mod fake;
mod harness;
mod replies;

mod candidates;
mod client_gone;
mod drain;
mod flow;
mod ids;
mod leaks;
mod outage;
mod panics;
mod permits;
mod pool;
mod pushback;
mod quarantine;
mod records;
mod reload;
mod retry;
mod submit;
mod timers;
#[cfg(feature = "trace")]
mod trace;
