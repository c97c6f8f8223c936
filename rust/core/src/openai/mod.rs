//! The OpenAI API as Penstock sees it: the request's view, chunks, whole answers, errors.

mod chat;
mod choice;
mod chunk;
mod completion;
mod envelope;
mod error;
mod failure;
mod messages;
mod parameter;
mod usage;

pub use chat::{ChatRequest, MAX_CHOICES, Member};
pub use choice::{Choice, Delta, Finish, Role};
pub use chunk::Chunk;
pub use completion::{Completion, WholeChoice};
pub use envelope::{Field, Part, find, write_server};
pub use error::{ApiError, Code, ErrorType};
pub use failure::{BackendFailure, Verdict};
pub use parameter::{Parameter, misspelt};
pub use usage::Usage;
