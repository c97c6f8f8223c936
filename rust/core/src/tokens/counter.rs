//! The interface of token counters.

/// The size of a prompt as known on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptSize {
    /// Bytes of its text as JSON, media left out.
    pub bytes: usize,
    /// Tokens that are not estimated from bytes: those sent as token numbers, and the configured cost of images,
    /// sounds, videos and files.
    pub known: u64,
}

impl PromptSize {
    /// An upper bound: a byte-level tokenizer makes at most one token per byte.
    pub fn text_bound(self) -> u64 {
        self.bytes as u64
    }
}

/// Counts or estimates prompt tokens for one served model.
pub trait TokenCounter {
    /// Tokens of a prompt; at least 1.
    fn count(&self, prompt: PromptSize) -> u64;

    /// Learns from the true count that a finished request reported.
    fn learn(&mut self, prompt: PromptSize, prompt_tokens: u64);
}
