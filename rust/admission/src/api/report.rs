//! What is reported to admission about a running request or a backend.

/// How a permit ended (the vocabulary of Netflix's concurrency-limits: success, dropped, ignore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitOutcome {
    Success,
    /// The backend failed.
    Dropped,
    /// Nothing can be learned from it: the client left, or the request never ran.
    Ignored,
}

/// The tokens that a finished request used, as its backend reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u32,
    /// Prompt tokens that came from the backend's prefix cache.
    pub cached: u32,
    pub output: u32,
}

/// Why a request did not reach its backend.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection was refused: the request has not begun.
    Refused = 0,
    /// No connection could be made for another reason: the request has not begun.
    Unreachable,
    /// The connection closed without a byte of an answer.
    Died,
    /// A gateway in front of the server answered that it is unavailable (RFC 9110 §15.6.3, §15.6.4).
    Unavailable,
}

impl Fault {
    /// Whether no connection was made.
    pub fn is_before_connected(self) -> bool {
        matches!(self, Fault::Refused | Fault::Unreachable)
    }
}

/// What proves that requests reach a backend again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A connection was made.
    Connected,
    /// Part of an answer has arrived, to a request that was sent before the outage.
    Answered,
    /// A request that was sent since the outage has not been reset for some time.
    Survived,
    /// Part of an answer has arrived to a request that was sent since the outage began, or the server was
    /// down and has restarted.
    Served,
}

/// Whether a backend may get requests.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not probed yet; it may be tried.
    Unknown = 0,
    Healthy,
    Down,
}
