//! The interface of everything that knows, or guesses, a prompt's tokens.

/// What is known of a prompt when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptSize {
    /// Bytes of its text as JSON, media left out.
    pub bytes: usize,
    /// Tokens that need no estimate: those that were sent as such, and what its images, sounds, videos and files
    /// count as.
    pub known: u64,
}

impl PromptSize {
    /// No byte-level tokenizer makes more tokens of a text than it has bytes.
    pub fn text_bound(self) -> u64 {
        self.bytes as u64
    }
}

/// Counts or estimates prompt tokens for one served model.
pub trait TokenCounter {
    /// Tokens of a prompt; at least 1.
    fn count(&self, prompt: PromptSize) -> u64;

    /// A finished request reported its true count.
    fn learn(&mut self, prompt: PromptSize, prompt_tokens: u64);
}
