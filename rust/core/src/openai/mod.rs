//! The OpenAI API as all endpoints have it: errors, token counts, the members of chunks and whole answers.

mod choice;
mod chunk;
mod completion;
mod envelope;
mod error;
mod failure;
mod usage;

pub use choice::{Choice, Delta, Finish, Role};
pub use chunk::Chunk;
pub use completion::{Completion, WholeChoice};
pub use envelope::{Field, Part, find, write_server};
pub use error::{ApiError, Code, ErrorType};
pub use failure::{BackendFailure, Verdict};
pub use usage::Usage;
