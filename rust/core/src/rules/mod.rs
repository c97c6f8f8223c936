//! What model servers send, put into the one shape that clients see.
//!
//! Each rule is a function with a name, and they are applied in a fixed order; they run for every backend and
//! change nothing on clean input. On a chunk of a stream, in this order:
//!
//! 1. P7 [`usage::Counts::take`]: token counts wait for the end
//! 2. P6 [`empty::is_droppable`]: deltas that say nothing are dropped
//! 3. the rules of one choice, which the endpoint lists ([`ChoiceForm::edit`]): P6 [`role::once`], [`finish::apart`]
//! 4. P7 [`usage::Counts::place`]: no counts on a chunk but the last
//! 5. P1 [`Identity::edit`]: one identity
//!
//! Each says by a [`FastPath`] whether the next chunk like this one may skip it. At the end of a stream P12 (`[DONE]`)
//! and P13 (truncation) decide, where the exchange finishes it; P14 is the exchange's held 200, and [`whole::stream_of`].
//! [`Assembler`] makes a whole answer of a stream.

mod assembler;
mod choices;
mod count;
pub(crate) mod empty;
mod event;
pub(crate) mod finish;
mod form;
mod identity;
pub(crate) mod members;
mod progress;
pub(crate) mod role;
mod stream;
mod streaming;
mod template;
pub(crate) mod usage;
mod whole;

pub use assembler::Assembler;
pub use count::{Rule, RuleCounts};
pub use event::{Completeness, StreamEvent, StreamFault};
pub use form::{ChoiceForm, ChunkEdits, Gathered, TooMuch};
pub use identity::{Envelope, Identity};
pub use stream::StreamNormaliser;
pub use streaming::{Asked, Assembly, StreamRules, Streaming};
pub use template::FastPath;
pub use whole::{BodyFault, normalise_body, stream_of, usage_of};

/// Most choices of one prompt, as `OpenAI` has it.
pub const MAX_CHOICES: u64 = 128;
