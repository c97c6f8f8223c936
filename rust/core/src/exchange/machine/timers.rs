//! The deadlines of an exchange. It sets no timers: the worker asks for the next deadline.

use super::next::ended_ok;
use super::state::{AnswerMode, ExchangeState};
use super::{END_OF_MESSAGE_TIMEOUT, Exchange, Next, UpstreamEnd};
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
            ExchangeState::Over => Next::Continue,
            ExchangeState::AwaitingEnd(_) => {
                self.state = ExchangeState::Over;
                ended_ok(false)
            }
            ExchangeState::Waiting if !matches!(failure, Failure::Deadline { .. }) => {
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
            ExchangeState::Over => None,
            ExchangeState::AwaitingEnd(_) => Some(self.answered + END_OF_MESSAGE_TIMEOUT),
            // The queue has a deadline of its own; here only the total counts.
            ExchangeState::Waiting if self.is_queued() => Some(total),
            ExchangeState::Waiting => Some(total.min(self.dispatched + timeouts.connect)),
            ExchangeState::Attempting(_) if self.paused => Some(total),
            ExchangeState::Attempting(_) if self.first.is_some() => {
                Some(total.min(self.last_event + timeouts.between_events))
            }
            // A whole answer has no first event, so only the total limits it.
            ExchangeState::Attempting(_) if matches!(self.mode, AnswerMode::Whole) => Some(total),
            ExchangeState::Attempting(_) => Some(total.min(self.dispatched + timeouts.first_event)),
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
