//! The timers of an exchange: none of its own, it is asked.

use super::next::served;
use super::{Exchange, LINGER, Next, Reading, State, UpstreamEnd};
use crate::exchange::failure::{Failure, Progress};
use crate::exchange::output::Output;
use crate::routing::Table;
use crate::time::{Nanos, Now};

impl Exchange {
    /// Time has passed. The caller asks at [`Self::deadline`], or whenever it likes.
    pub fn time(&mut self, table: &Table, now: Now, out: &mut Output) -> Next {
        if self.deadline(table).is_none_or(|deadline| now.mono < deadline) {
            return Next::Continue;
        }
        let timeouts = &self.tier(table).timeouts;
        let progress = match self.first {
            _ if self.begun => Progress::Begun,
            // The client has nothing of it yet.
            Some(_) => Progress::Something,
            None => Progress::Nothing,
        };
        let failure = if now.mono >= self.arrived + timeouts.total {
            Failure::Deadline { progress }
        } else if self.first.is_some() {
            Failure::Stalled
        } else {
            Failure::FirstEventTimeout
        };
        match &self.state {
            State::Over => Next::Continue,
            State::Lingering(_) => {
                self.state = State::Over;
                served(false)
            }
            State::Waiting if !matches!(failure, Failure::Deadline { .. }) => {
                self.fail(Failure::ConnectTimeout, UpstreamEnd::Close, now, out)
            }
            _ => self.fail(failure, UpstreamEnd::Abort, now, out),
        }
    }

    /// When [`Self::time`] has something to do. It can only move later without being fed, so a timer
    /// set for an earlier value merely looks again.
    pub fn deadline(&self, table: &Table) -> Option<Nanos> {
        let timeouts = &self.tier(table).timeouts;
        let total = self.arrived + timeouts.total;
        match &self.state {
            State::Over => None,
            State::Lingering(_) => Some(self.answered + LINGER),
            // In the queue the queue's own deadline counts.
            State::Waiting if self.is_queued() => Some(total),
            State::Waiting => Some(total.min(self.dispatched + timeouts.connect)),
            State::Attempting(_) if self.paused => Some(total),
            State::Attempting(_) if self.first.is_some() => {
                Some(total.min(self.last_event + timeouts.between_events))
            }
            // What comes whole has no first event but itself; only the total bounds it.
            State::Attempting(_) if matches!(self.reading, Reading::Whole) => Some(total),
            State::Attempting(_) => Some(total.min(self.dispatched + timeouts.first_event)),
        }
    }

    /// The client reads too slowly, so the backend is not read: its silence is ours.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    pub fn resume(&mut self, now: Now) {
        self.paused = false;
        self.last_event = now.mono;
    }
}
