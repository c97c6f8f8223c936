//! The end of a stream: it is complete, or truncated (P13).
//!
//! A cut inside the HTTP message is found by its framing (`BodyDecoder::at_eof`). A message that ends cleanly can still
//! be truncated: the answer is complete only when every choice has its finish reason, with or without `[DONE]` (P12).

use super::Exchange;
use super::state::AnswerMode;
use crate::exchange::failure::{Failure, Progress};
use crate::exchange::output::Output;
use crate::routing::Table;
use crate::rules::Completeness;
use crate::time::Now;

impl Exchange {
    /// Writes the end of the stream, or the answer assembled from it, if it is complete.
    pub(super) fn finish(
        &mut self,
        table: &Table,
        now: Now,
        out: &mut Output,
    ) -> Result<(), Failure> {
        match &self.mode {
            AnswerMode::Stream(_) => self.finish_stream(out),
            AnswerMode::Assembled(_) => self.finish_assembled(table, now, out),
            AnswerMode::Whole => Err(Failure::Truncated { progress: Progress::Something }),
        }
    }

    /// Writes the end of the stream, if the answer is complete.
    pub(super) fn finish_stream(&mut self, out: &mut Output) -> Result<(), Failure> {
        let AnswerMode::Stream(rules) = &self.mode else { return Ok(()) };
        self.check_complete(rules.completeness())?;
        rules.finish(out.body());
        self.usage = rules.usage();
        out.piece(self.framing());
        out.end_stream();
        Ok(())
    }

    /// P13: fails for a stream that ends before its answer is complete.
    pub(super) fn check_complete(&self, completeness: Completeness) -> Result<(), Failure> {
        match completeness {
            Completeness::Complete => Ok(()),
            Completeness::Fewer(got) => Err(Failure::IgnoredChoices { asked: self.plan.n, got }),
            Completeness::Open => Err(Failure::Truncated { progress: Progress::Something }),
        }
    }
}
