//! What a connection on the lane is in the middle of, and what of it has taken too long.

use std::rc::Rc;

use penstock_core::time::{Nanos, SECOND};
use penstock_core::worker::RequestId;
use penstock_wire::http::Intake;
use pyo3::prelude::*;

use crate::read_half::ReadHalf;
use crate::write_half::WriteHalf;

/// A request that takes longer to come is aiohttp's, which has the time-outs for it.
const SLOW: Nanos = SECOND;
/// A connection without a request is closed after this.
const IDLE: Nanos = 75 * SECOND;

/// The client's transport, and the ways that requests and answers take.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) object: Py<PyAny>,
    pub(super) read_half: Rc<ReadHalf>,
    pub(super) write_half: Rc<WriteHalf>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) intake: Intake,
    pub(super) transport: Option<Transport>,
    pub(super) request: Option<RequestId>,
    /// A request is being submitted: whoever ends it leaves it to the submitter to go on.
    pub(super) submitting: bool,
    pub(super) reading_paused: bool,
    pub(super) writing_paused: bool,
    /// Since when the intake is as it is.
    pub(super) since: Nanos,
}

impl State {
    /// Whether a request is being read or answered.
    pub(super) fn is_busy(&self) -> bool {
        self.intake.is_serving() || self.intake.is_reading_body()
    }

    /// Whether nothing comes of what the client sends now: the request in hand is to be answered
    /// first, and the answers before are to be read.
    pub(super) fn must_wait(&self) -> bool {
        self.intake.is_serving() || self.writing_paused
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.is_busy() && self.intake.held() == 0
    }

    /// What has taken too long.
    pub(super) fn overdue(&self, now: Nanos) -> Overdue {
        let age = now.saturating_sub(self.since);
        if self.must_wait() || self.intake.is_gone() {
            Overdue::Nothing
        } else if self.intake.held() > 0 {
            if age > SLOW { Overdue::Request } else { Overdue::Nothing }
        } else if age > IDLE {
            Overdue::Idle
        } else {
            Overdue::Nothing
        }
    }
}

/// What a client has let wait for too long.
pub(super) enum Overdue {
    Nothing,
    /// It does not finish its request.
    Request,
    /// It does not begin one.
    Idle,
}
