//! Admission on virtual time: long random histories against a slow model, and each rule by itself.

#![allow(unreachable_pub)]

mod absent;
mod auto;
mod backends;
mod checks;
mod histories;
mod holds;
mod limits;
mod model;
mod ops;
mod order;
mod outages;
mod play;
mod rejection;
mod retry;
mod room;
mod scale;
mod stage;
mod tenants;
mod tokens;
mod waking;
