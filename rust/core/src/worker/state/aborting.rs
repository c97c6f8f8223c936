//! Aborted requests whose backends may still be at work.

use penstock_admission::Ticket;

use super::ids::ConnectionId;
use crate::time::Nanos;

/// A half-closed connection whose permit waits for the backend's end.
#[derive(Debug)]
pub(crate) struct Aborting {
    pub(crate) until: Nanos,
    /// Until when the backend's end is no proof that its engine has stopped.
    pub(crate) held_until: Nanos,
    pub(crate) connection: ConnectionId,
    pub(crate) ticket: Ticket,
}
