//! One proxied request: a state machine. Bytes, events and time go in; bytes for the client and the
//! next step for the backend's connection come out.

mod attempt;
mod client;
mod failure;
mod machine;
mod outcome;
mod output;
mod record;
mod retry;
mod termination;

pub use client::Client;
pub use failure::{Failure, Retry};
pub use machine::{Ended, Exchange, Next, Pace, UpstreamEnd};
pub use outcome::{AttemptResult, Outcome};
pub use output::{Output, OutputMemory, write_error};
pub use record::{Record, Served};
pub use retry::RetryBudget;
pub use termination::{Term, Where, Who};
