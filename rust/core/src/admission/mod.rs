//! When a request may go, and where: slots of backend, node and tier, first come first served
//! within a tier, bounded queues, deadlines.
//!
//! Rows are the truth (design §5): each request is one row of a fixed array, and every counter and
//! list here is an index over rows. The interface is the final one (contract §3); of the three
//! resources the slots are limited so far, prefill and KV tokens are counted.

mod caps;
mod limiter;
mod queue;
mod row;

pub use caps::{Cap, Health};
pub use limiter::{Admission, Decision, Invariants, Refusal, Sizes, TierLimits};
pub use row::{Candidates, Grant, Offer, Outcome, Owner, Resources, Ticket};
