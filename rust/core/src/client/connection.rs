//! The state of one client's connection: which request is in hand, when it is read, and what has taken too
//! long.

use penstock_wire::http::{Decoded, Request, RequestDecoder};

use super::config::ClientConfig;
use crate::identity::RequestAttributes;
use crate::time::{Nanos, SECOND};
use crate::worker::RequestId;

/// Bytes beyond the request in hand; stop reading a client that pipelines faster than we answer.
const AHEAD: usize = 64 << 10;
/// A request that takes longer to come goes to aiohttp, which has the time-outs for it.
const SLOW: Nanos = SECOND;
/// A connection without a request is closed after this.
const IDLE: Nanos = 75 * SECOND;

/// One client's connection, between [`ClientConnection::received`] and [`ClientConnection::leave`].
#[derive(Debug, Default)]
pub struct ClientConnection {
    decoder: RequestDecoder,
    /// The request in hand, once the worker has taken it.
    request: Option<RequestId>,
    /// The worker is taking a request: its answer may come before that call returns.
    is_submitting: bool,
    reading_paused: bool,
    writing_paused: bool,
    /// When the decoder last changed its state.
    since: Nanos,
}

/// What to do with bytes that have come.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Hand them to [`ClientConnection::step`].
    Step,
    /// Nothing: they are kept, as a request is in hand or answers wait to be read.
    Kept,
    /// As `Kept`, and stop reading.
    StopReading,
}

/// What comes next on a connection.
#[derive(Debug)]
pub enum Step<'a> {
    /// More must come, or the request in hand must be answered.
    Wait,
    /// As `Wait`, and start reading again.
    ReadOn,
    /// Give this request to the worker, and tell [`ClientConnection::submitted`]. Then comes the next step.
    Serve(Request<'a>, RequestAttributes),
    /// A request that the lane does not serve: give the connection to aiohttp, with the bytes of
    /// [`ClientConnection::hand_over`].
    HandOver,
}

/// What follows an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// It was answered within the call that submitted it: that caller goes on.
    Submitter,
    /// The next [`ClientConnection::step`].
    Step,
    /// The connection ends behind this answer.
    Close,
    /// The connection had ended already.
    Nothing,
}

/// What a client has left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The request in hand: the worker must be told that its client has left.
    pub request: Option<RequestId>,
    /// A request whose body had not come whole: its id if it had one, and for how long it was waited for.
    pub unread: Option<(Option<String>, Nanos)>,
}

/// What a client has taken too long for.
#[derive(Debug, PartialEq, Eq)]
pub enum Overdue {
    Nothing,
    /// It does not finish its request.
    Request,
    /// It does not begin one.
    Idle,
}

impl ClientConnection {
    pub fn new(now: Nanos) -> Self {
        ClientConnection { since: now, ..ClientConnection::default() }
    }

    /// Bytes have come.
    pub fn received(&mut self, data: &[u8], now: Nanos) -> Received {
        if self.must_wait() {
            self.decoder.buffer(data);
            self.reading_paused |= self.decoder.buffered() > AHEAD;
            return if self.reading_paused { Received::StopReading } else { Received::Kept };
        }
        if self.is_idle() {
            self.since = now;
        }
        Received::Step
    }

    /// Processes buffered and new bytes. `trusted`: the peer's headers for tenant and priority count.
    pub fn step<'a>(&mut self, config: &ClientConfig, data: &'a [u8], trusted: bool) -> Step<'a> {
        if self.writing_paused {
            self.decoder.buffer(data);
            return Step::Wait;
        }
        match self.decoder.decode(&config.http, data) {
            // Read on only when all that was kept is used: a client that pipelines faster than we answer must
            // not be buffered without bound.
            Decoded::Pending if !self.must_wait() && std::mem::take(&mut self.reading_paused) => {
                Step::ReadOn
            }
            Decoded::Pending => Step::Wait,
            Decoded::Unsupported => Step::HandOver,
            Decoded::Request(request) => {
                if let Ok(attributes) = config.attributes(&request, trusted) {
                    self.is_submitting = true;
                    return Step::Serve(request, attributes);
                }
                // aiohttp refuses it with the reason.
                self.decoder.put_back(request);
                Step::HandOver
            }
        }
    }

    /// The worker has taken the request, or has answered it at once. Returns the request whose backend must be
    /// paused, if the client is not reading.
    pub fn submitted(&mut self, request: Option<RequestId>) -> Option<RequestId> {
        self.is_submitting = false;
        if !self.decoder.is_serving() {
            return None;
        }
        self.request = request;
        request.filter(|_| self.writing_paused)
    }

    /// The answer is written.
    pub fn answered(&mut self, keep_alive: bool, now: Nanos) -> Answered {
        if !self.decoder.is_serving() {
            return Answered::Nothing;
        }
        (self.request, self.since) = (None, now);
        if !keep_alive {
            self.decoder.close();
            return Answered::Close;
        }
        self.decoder.finish();
        if self.is_submitting { Answered::Submitter } else { Answered::Step }
    }

    /// The client's write buffer is full (`full`), or has drained. Returns the request that the worker must pause or
    /// resume; if there is none and the buffer has drained, call [`Self::step`] next.
    pub fn write_flow(&mut self, full: bool, now: Nanos) -> Option<RequestId> {
        self.writing_paused = full;
        if !full && self.request.is_none() {
            // The client had to read first, so what it sends has its whole time from now on.
            self.since = now;
        }
        self.request
    }

    /// The client has left, or its connection ends.
    pub fn leave(&mut self, now: Nanos) -> Left {
        // A request whose head had come is logged and counted, although its body had not.
        let unread = self.decoder.is_reading_body().then(|| {
            let id = self.decoder.captured(0).map(str::to_owned);
            (id, now.saturating_sub(self.since))
        });
        self.decoder.close();
        Left { request: self.request.take(), unread }
    }

    /// Whether the connection may be handed over now: only while its unsent bytes are below the transport's
    /// high-water mark.
    pub fn may_hand_over(&self) -> bool {
        !self.writing_paused
    }

    /// The connection leaves the lane. Returns the bytes that no request has used, and since when they wait.
    pub fn hand_over(&mut self) -> (Vec<u8>, Nanos) {
        (self.decoder.close(), self.since)
    }

    /// Whether more waits for the client than its transport's high-water mark.
    pub fn is_held_back(&self) -> bool {
        self.writing_paused
    }

    /// Whether a request is being read or answered.
    pub fn is_busy(&self) -> bool {
        self.decoder.is_serving() || self.decoder.is_reading_body()
    }

    /// Whether no request is being read or answered, nor has one begun to come.
    pub fn is_idle(&self) -> bool {
        !self.is_busy() && self.decoder.buffered() == 0
    }

    /// What has taken too long.
    pub fn overdue(&self, now: Nanos) -> Overdue {
        let age = now.saturating_sub(self.since);
        if self.must_wait() || self.decoder.is_closed() {
            Overdue::Nothing
        } else if self.decoder.buffered() > 0 {
            if age > SLOW { Overdue::Request } else { Overdue::Nothing }
        } else if age > IDLE {
            Overdue::Idle
        } else {
            Overdue::Nothing
        }
    }

    /// Whether what the client sends now has to wait: for the answer to the request in hand, or until the
    /// client has read the answers before.
    fn must_wait(&self) -> bool {
        self.decoder.is_serving() || self.writing_paused
    }
}
