//! Which request may run, when, and on which backend: limits on slots, prefill and KV tokens, one queue for
//! all workers, late binding.
//!
//! Rows are the truth. Each request is one row of a fixed array, in a segment that all processes share.
//! Every counter, heap and list is an index over the rows, and [`Admission::rebuild`] recomputes all of
//! them in one pass. The way of a request:
//!
//! ```text
//! offer ─ arrival ─┬─► granted           dispatch: tier → priority → flow → row → backend (placement)
//!                  ├─► queue ── dispatch ──► notification of the owner ──► running ──► release
//!                  └─► refused, with a Retry-After       pushback ◄───────────┘ └─► closing ─┘
//! ```
//!
//! | folder | holds |
//! |---|---|
//! | `api` | what is asked and answered |
//! | `shm` | the memory that processes share, its robust lock, and how to wake its users |
//! | `limits` | caps, token limits, the adaptive limit |
//! | `learned` | rates and quantiles of what was served |
//! | `state` | rows, and over them caps, tiers, backends, workers, tenants, flows: all in the `ledger` |
//! | `queue` | from arrival to permit |
//! | `permit` | from permit to end |
//! | `control` | limits, health and time change |
//! | `failure` | backends that cannot be reached; workers that stopped or died; `rebuild` |
//! | `inspect` | status, and whether everything agrees with the rows |
//!
//! `admission` puts these behind the lock; `prefix` and `state::load` are read without it.

#![deny(unsafe_code)]

mod admission;
mod api;
mod control;
mod failure;
#[cfg(test)]
mod fixture;
mod histogram;
mod inspect;
#[cfg_attr(not(debug_assertions), allow(unreachable_pub))]
pub mod kill_points;
mod learned;
mod limits;
mod permit;
mod prefix;
mod queue;
#[allow(unsafe_code)]
pub mod shm;
mod state;
pub mod time;

pub use admission::{Admission, AdmissionParts};
pub use api::decision::{Decision, Grant, Notification, Refusal, Refused};
pub use api::ids::{BackendIndex, Owner, Ticket, TierIndex};
pub use api::offer::{Candidate, Candidates, MAX_CANDIDATES, Offer, Priority, Tenant};
pub use api::report::{Fault, Health, PermitOutcome, Proof, Usage};
pub use histogram::Histogram;
pub use inspect::invariants::Invariants;
pub use inspect::status::{BackendStatus, TierStatus};
pub use limits::adaptive::AdaptiveMode;
pub use limits::caps::{Cap, Resources};
pub use limits::tokens::TokenLimit;
pub use prefix::{Blocks, Hit, PrefixIndex, PrefixParts};
pub use state::backend::BackendLimits;
pub use state::load::Load;
pub use state::sizes::Sizes;
pub use state::tier::TierLimits;
