//! Assembles a backend's stream into a whole answer, which is sent when the stream is complete.

use super::Exchange;
use super::state::AnswerMode;
use crate::exchange::failure::Failure;
use crate::exchange::output::Output;
use crate::routing::Table;
use crate::rules::{Rule, StreamEvent};
use crate::time::Now;

impl Exchange {
    /// Adds one event. Returns true when the answer is complete and was written.
    #[inline(never)] // keeps the code of ordinary stream events small
    pub(super) fn assembled_event(
        &mut self,
        data: &[u8],
        table: &Table,
        now: Now,
        out: &mut Output,
    ) -> Result<bool, Failure> {
        let AnswerMode::Assembled(assembly) = &mut self.mode else { return Ok(false) };
        let event = assembly
            .event(data)
            .map_err(|_| Failure::Garbage { detail: "an event that is no chunk" })?;
        if assembly.size() > table.response_limit {
            return Err(Failure::TooLarge { limit: table.response_limit });
        }
        match event {
            // Timers measure progress of the answer, so comments and empty events do not extend them.
            StreamEvent::KeepAlive => return Ok(false),
            StreamEvent::Swallowed | StreamEvent::Chunk { meaningful: false } => {}
            StreamEvent::Chunk { meaningful: true } => {
                if self.first.is_some() {
                    self.gaps.observe(now.mono - self.last_piece);
                } else {
                    self.first = Some(now.mono - self.arrived);
                }
                self.last_piece = now.mono;
                self.pieces += 1;
            }
            StreamEvent::Done => {
                self.finish_assembled(table, now, out)?;
                return Ok(true);
            }
            StreamEvent::Failure(failure) => {
                self.rules.hit(Rule::P14);
                return Err(self.failure_of(table, &failure, None));
            }
        }
        self.last_event = now.mono;
        Ok(false)
    }

    /// Writes the whole answer, if it is complete.
    pub(super) fn finish_assembled(
        &mut self,
        table: &Table,
        now: Now,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let AnswerMode::Assembled(assembly) = &self.mode else { return Ok(()) };
        self.check_complete(assembly.completeness())?;
        assembly.write(out.body());
        if out.body().len() > table.response_limit {
            return Err(Failure::TooLarge { limit: table.response_limit });
        }
        self.usage = assembly.usage();
        self.write_whole_head(table, now, out);
        Ok(())
    }
}
