//! What model servers send, put into the one shape that clients see.
//!
//! Of the response rules, P1 (one identity), P6 (role, empty deltas, text on the finish chunk),
//! P7 (usage), P12 (`[DONE]`), P13 (truncation) and P14 (the held 200) are here. They run for every
//! backend and change nothing on clean input. [`Assembler`] makes a whole answer of a stream.

mod assembler;
mod body;
mod calls;
mod identity;
mod members;
mod message;
mod progress;
mod rule;
mod stream;
mod template;

pub use assembler::Assembler;
pub use body::{BodyFault, normalise_body, stream_of};
pub use identity::Identity;
pub use rule::{Rule, RuleCounts};
pub use stream::{StreamEvent, StreamFault, StreamNormaliser};
