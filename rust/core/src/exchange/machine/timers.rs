//! The deadlines of an exchange. It sets no timers: the worker asks for the next deadline.

use super::next::served;
use super::{Exchange, LINGER, Next, Reading, State, UpstreamEnd};
use crate::exchange::failure::{Failure, Progress};
use crate::exchange::output::Output;
use crate::routing::Table;
use crate::time::{Nanos, Now};

impl Exchange {
    /// Checks the deadlines. Called at [`Self::deadline`]; calling it earlier is harmless.
    pub fn time(&mut self, table: &Table, now: Now, out: &mut Output) -> Next {
        if self.deadline(table).is_none_or(|deadline| now.mono < deadline) {
            return Next::Continue;
        }
        let timeouts = &self.tier(table).timeouts;
        let progress = match self.first {
            _ if self.begun => Progress::Begun,
            // Received, but not yet sent to the client.
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

    /// When [`Self::time`] must be called. Between two calls of the exchange it only moves later, so a timer
    /// that was set earlier fires early and is set again.
    pub fn deadline(&self, table: &Table) -> Option<Nanos> {
        let timeouts = &self.tier(table).timeouts;
        let total = self.arrived + timeouts.total;
        match &self.state {
            State::Over => None,
            State::Lingering(_) => Some(self.answered + LINGER),
            // The queue has a deadline of its own; here only the total counts.
            State::Waiting if self.is_queued() => Some(total),
            State::Waiting => Some(total.min(self.dispatched + timeouts.connect)),
            State::Attempting(_) if self.paused => Some(total),
            State::Attempting(_) if self.first.is_some() => {
                Some(total.min(self.last_event + timeouts.between_events))
            }
            // A whole answer has no first event, so only the total limits it.
            State::Attempting(_) if matches!(self.reading, Reading::Whole) => Some(total),
            State::Attempting(_) => Some(total.min(self.dispatched + timeouts.first_event)),
        }
    }

    /// Reading from the backend is paused because the client reads too slowly. The backend's time-outs are
    /// suspended: it cannot be blamed for sending nothing.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    pub fn resume(&mut self, now: Now) {
        self.paused = false;
        self.last_event = now.mono;
    }
}
