//! What is reported to admission about a running request or a backend.

/// How a permit ended; exactly one of these, once
/// (the vocabulary of Netflix's concurrency-limits: success, dropped, ignore).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitOutcome {
    Success,
    /// The backend failed.
    Dropped,
    /// Nothing can be learned from it: the client left, or it never ran.
    Ignored,
}

/// What a finished request really used, in tokens, as its backend says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u32,
    /// Of the prompt, how many came from the backend's prefix cache.
    pub cached: u32,
    pub output: u32,
}

/// Why a request did not get through to its backend.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens there: the request has not begun.
    Refused = 0,
    /// No connection was made, for whatever else: nor has it.
    Unreachable,
    /// The connection was broken off without a byte of an answer.
    Died,
    /// Somebody in front of the server has answered that it cannot be used (RFC 9110 §15.6.3, §15.6.4).
    Unavailable,
}

impl Fault {
    /// Whether no connection was made.
    pub fn is_before_connected(self) -> bool {
        matches!(self, Fault::Refused | Fault::Unreachable)
    }
}

/// That a request got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A connection was made: there is somebody who does not refuse any more.
    Connected,
    /// Something of an answer has come, to a request that was sent before.
    Answered,
    /// A request that was sent since is not broken off after some time.
    Survived,
    /// Something of an answer has come to a request that was sent since, or the server has been away as a
    /// whole and is back.
    Served,
}

/// Whether a backend may get requests.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not known yet; it may be tried.
    Unknown = 0,
    Healthy,
    Down,
}
