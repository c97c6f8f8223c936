//! Estimates how many tokens a prompt has, without tokenising it.

mod counter;
mod ratio;
mod shared;

pub use counter::{PromptSize, TokenCounter};
pub use ratio::LearnedRatio;
pub use shared::{Ratios, RatiosParts};
