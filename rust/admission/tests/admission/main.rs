//! Admission on virtual time: long random histories against a slow model, and each rule by itself.

#![allow(unreachable_pub)]

mod backends;
mod checks;
mod fits;
mod fixture;
mod harness;
mod histories;
#[cfg(debug_assertions)]
mod kills;
mod learned;
mod limits;
mod model;
mod ops;
mod order;
mod outages;
mod rejection;
mod reservations;
mod retry;
mod scale;
mod stalled;
mod tenants;
mod tokens;
mod wakeups;
