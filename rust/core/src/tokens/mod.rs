//! How many tokens a prompt has, without tokenising it.

mod counter;
mod ratio;

pub use counter::{PromptSize, TokenCounter};
pub use ratio::LearnedRatio;
