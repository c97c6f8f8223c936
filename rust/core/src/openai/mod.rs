//! The parts of the OpenAI API that all endpoints share: errors, token counts, members of chunks and answers.

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
