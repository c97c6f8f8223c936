//! What one accepted request comes to: its tier, its shape, and the body for whichever backend.

use super::parameters::Warning;
use super::table::{Table, TierIndex};
use crate::json::write_string;
use crate::openai::{ApiError, ChatRequest};
use crate::tokens::PromptSize;

#[derive(Debug, Clone)]
pub struct Plan {
    pub tier: TierIndex,
    /// The name the client asked for, which is the name it sees.
    pub model: String,
    pub stream: bool,
    pub include_usage: bool,
    pub n: u32,
    pub prompt: PromptSize,
    pub warnings: Vec<Warning>,
    /// All of the body behind `{"model":…,`.
    tail: Vec<u8>,
}

impl Plan {
    /// Reads a body and decides everything that needs no backend.
    pub fn make(table: &Table, body: &[u8]) -> Result<Self, ApiError> {
        let request = ChatRequest::read(body)?;
        let tier = table.tier_of(&request.model)?;
        let mut warnings = Vec::new();
        let tail = table.tiers[usize::from(tier)].parameters.rewrite(&request, &mut warnings)?;
        Ok(Plan {
            tier,
            model: request.model.into_owned(),
            stream: request.stream,
            include_usage: request.include_usage,
            n: request.n,
            prompt: PromptSize { bytes: request.prompt_bytes },
            warnings,
            tail,
        })
    }

    /// Appends the body for a backend that knows the model as `serves`.
    pub fn write_body(&self, serves: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"model\":");
        write_string(serves, out);
        out.push(b',');
        out.extend_from_slice(&self.tail);
    }

    /// Bytes that the body holds while the request waits.
    pub fn held_bytes(&self) -> usize {
        self.tail.len()
    }

    /// The body as it identifies the prompt: what the quarantine remembers.
    pub fn prompt_bytes(&self) -> &[u8] {
        &self.tail
    }

    /// The first event has come, so no attempt follows and the body can go (contract §2).
    pub fn free_body(&mut self) {
        self.tail = Vec::new();
    }
}
