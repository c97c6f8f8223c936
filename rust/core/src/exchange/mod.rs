//! One proxied request: a state machine that is fed bytes, events and time, and answers with bytes
//! for the client and a word about the backend's connection.

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
