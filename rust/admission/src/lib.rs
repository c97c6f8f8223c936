//! When a request may go, and where: three resources, one queue for all workers, late binding.
//!
//! Rows are the truth: each request is one row of a fixed array, in a segment that all
//! processes share, and every counter, heap and mailbox here is an index over rows that
//! [`Admission::rebuild`] makes anew in one pass. How a request goes:
//!
//! ```text
//! offer ─ arrival ──┬─► granted            dispatch: tier → band → flow → row → backend (choice)
//!                   ├─► queue ── dispatch ──► mailbox of the owner ──► running ──► release
//!                   └─► refused, with a Retry-After         bounce ◄──┘   └─► closing ─┘
//! ```
//!
//! | to know | read |
//! |---|---|
//! | what is asked and answered | `offer`, `limiter` |
//! | what is remembered | `row`; over it `tier`, `backend`, `caps`, `accounts` (tenants and flows), `mail` (of the workers), all in the `ledger`; where it lies: `parts` |
//! | how one request goes | `arrival`, `queue` (with `heap`), `dispatch` (with `hold`), `choice`, `holding` |
//! | what comes from outside | `change` (limits, health, time), `outage` (requests do not get through to a backend), `deaths` (nor do others after them), `reclaim` (a worker has died), `absent` (one does not take its mail), `rebuild` (the lock's holder has) |
//! | what is learned | `rate`, `reading`, `first_tokens`, `lengths` (over `quantile`), `adaptive` |
//! | what is seen without the lock | `prefix`, `load`; with it: `numbers`, and whether all agrees: `inspect` |

#![deny(unsafe_code)]

mod absent;
mod accounts;
mod adaptive;
mod arrival;
mod backend;
mod caps;
mod change;
mod choice;
mod deaths;
mod dispatch;
mod first_tokens;
mod heap;
mod histogram;
mod hold;
mod holding;
mod index;
mod inspect;
mod ledger;
mod lengths;
mod limiter;
mod load;
mod mail;
mod numbers;
mod offer;
mod outage;
mod parts;
mod prefix;
mod quantile;
mod queue;
mod rate;
mod reading;
mod rebuild;
mod reclaim;
mod row;
#[allow(unsafe_code)]
pub mod shm;
mod tier;
pub mod time;

pub use adaptive::AdaptiveMode;
pub use backend::{BackendLimits, TokenLimit};
pub use caps::Cap;
pub use histogram::Histogram;
pub use index::{BackendIndex, TierIndex};
pub use inspect::Invariants;
pub use limiter::{Admission, AdmissionParts};
pub use load::Load;
pub use numbers::{BackendNumbers, TierNumbers};
pub use offer::{
    Band, Candidate, Candidates, Decision, Fault, Grant, Health, MAX_CANDIDATES, Notice, Offer,
    Outcome, Owner, Proof, Refusal, Refused, Tenant, Ticket, Usage,
};
pub use parts::Sizes;
pub use prefix::{Blocks, Hit, PrefixIndex, PrefixParts};
pub use row::Resources;
pub use tier::TierLimits;
