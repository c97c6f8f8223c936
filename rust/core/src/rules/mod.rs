//! Normalises what model servers send into the one shape that clients see.
//!
//! Each rule is a named function. The rules run for every backend, in a fixed order, and do not change a clean
//! answer beyond its id and model name. On a chunk of a stream, in this order:
//!
//! 1. P7 [`usage::Counts::take`]: token counts are kept until the end
//! 2. P6 [`empty::is_droppable`]: empty deltas are dropped
//! 3. the endpoint's rules for one choice ([`ChoiceForm::edit`]): P6 [`role::once`], [`finish::split_off`]
//! 4. P7 [`usage::Counts::place`]: token counts only on the last chunk
//! 5. P1 [`IdAndModel::edit`]: one id, one creation time, and the model name that the client asked for
//!
//! Each returns a [`FastPath`]: whether a similar next chunk may skip it. The exchange applies the others: P12
//! (missing `[DONE]`) and P13 (truncation) at the end of a stream, and P14 (the 200 is delayed until the first
//! meaningful event; JSON instead of a stream is converted by [`whole::stream_of`]). [`Assembler`] makes a whole answer
//! from a stream.

mod assembler;
mod choices;
mod count;
pub(crate) mod empty;
mod event;
pub(crate) mod finish;
mod form;
mod id_and_model;
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
pub use id_and_model::{Envelope, IdAndModel};
pub use stream::StreamNormaliser;
pub use streaming::{Asked, Assembly, StreamRules, Streaming};
pub use template::FastPath;
pub use whole::{BodyFault, normalise_body, stream_of, usage_of};

/// Maximum of `n`, as in `OpenAI`'s API.
pub const MAX_CHOICES: u64 = 128;
