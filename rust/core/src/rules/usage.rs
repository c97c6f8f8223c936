//! P7: token counts appear once, at the end, for clients that asked for them.

use penstock_wire::json::Kind;

use super::count::{Rule, RuleCounts};
use super::event::StreamFault;
use super::template::FastPath;
use crate::openai::{Field, Part, Usage, find};

/// What to do with the `usage` member of a chunk or answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsageRule {
    Keep,
    /// Remove it: the client did not ask for usage.
    Cut,
    /// Set it to null: the counts follow in the last chunk.
    Null,
}

/// The last `usage` object of a stream as raw JSON; empty: there was none.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<u8>);

impl Counts {
    /// Stores the counts of a chunk, if it has any.
    pub(super) fn take(&mut self, parts: &[Part], data: &[u8]) -> Result<(), StreamFault> {
        if let Some(usage) = find(parts, Field::Usage) {
            if usage.kind != Kind::Object {
                return Err(StreamFault);
            }
            self.0.clear();
            self.0.extend_from_slice(usage.span.of(data));
        }
        Ok(())
    }

    /// The rule for the `usage` member of a chunk. Fast path: kept by a chunk without one.
    pub(super) fn place(
        parts: &[Part],
        include_usage: bool,
        counts: &mut RuleCounts,
    ) -> (UsageRule, FastPath) {
        let rule = if include_usage { UsageRule::Null } else { UsageRule::Cut };
        if find(parts, Field::Usage).is_none() {
            return (rule, FastPath::Kept);
        }
        counts.hit(Rule::P7);
        (rule, FastPath::Passed)
    }

    /// Raw JSON; empty: the backend has reported none.
    pub(super) fn json(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn read(&self) -> Option<Usage> {
        Usage::read(&self.0).ok()
    }
}
