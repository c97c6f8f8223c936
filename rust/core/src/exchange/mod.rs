//! One proxied request: a state machine. Bytes, events and time go in; bytes for the client and the
//! next step for the backend's connection come out.

mod attempt;
mod failure;
mod machine;
mod output;
mod record;
mod retry;

pub use failure::{Failure, Retry};
pub use machine::{Client, Ended, Exchange, Next, Pace, UpstreamEnd};
pub use output::{Output, OutputMemory, write_error};
pub use record::{AttemptResult, Outcome, Record, Served, Term, Where, Who};
pub use retry::RetryBudget;
