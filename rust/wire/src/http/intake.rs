//! What a client sends on one connection, cut into requests: one at a time, however it arrives.

use std::borrow::Cow;

use super::hot::head_end;
use super::layout::{KnownHead, Layout};
use super::terms::Terms;

impl Terms {
    /// Whether `bytes` begin with the whole head of a request that is served here.
    pub fn serves(&self, bytes: &[u8]) -> bool {
        self.lines.may_be_hot(bytes)
            && head_end(bytes, 0).is_some_and(|end| Layout::of(self, &bytes[..end]).is_some())
    }
}

/// A request, whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    bytes: Cow<'a, [u8]>,
    layout: Layout,
}

impl Request<'_> {
    /// Which of the served paths it is for.
    pub fn path(&self) -> usize {
        self.layout.path
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.layout.head..]
    }

    /// The last value of a noted header, which is the one that the nearest proxy has added.
    pub fn noted(&self, header: usize) -> Option<&str> {
        self.layout.noted(&self.bytes, header)
    }
}

/// What has come to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// Nothing: more must come, or the request in hand must be finished.
    Nothing,
    /// The next request. It is in hand until [`Intake::finished`].
    Request(Request<'a>),
    /// A request that is not for the lane: whoever takes over gets its bytes from [`Intake::leave`].
    Foreign,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a request, or for the rest of its head: the end of it is not in the first so many
    /// bytes.
    Head { searched: usize },
    /// Waits for the rest of a body.
    Body(Layout),
    /// A request is in hand; what comes meanwhile is kept.
    Serving,
    /// The connection is somebody else's, or nobody's.
    Gone,
}

/// Memory that is taken for a body before any of it has come; more only as it comes.
const BODY_ROOM: usize = 256 << 10;

/// The state of one connection. Bytes are copied only where a read does not end with a request.
#[derive(Debug)]
pub struct Intake {
    phase: Phase,
    held: Held,
    known: KnownHead,
}

impl Default for Intake {
    fn default() -> Self {
        let phase = Phase::Head { searched: 0 };
        Intake { phase, held: Held::default(), known: KnownHead::default() }
    }
}

impl Intake {
    /// Takes what has come, if anything, and says what has come to be. To be called again, with
    /// nothing, after [`Self::finished`].
    pub fn take<'a>(&mut self, terms: &Terms, piece: &'a [u8]) -> Taken<'a> {
        if matches!(self.phase, Phase::Serving | Phase::Gone) || self.held.len() > 0 {
            self.keep(piece);
            return self.take_held(terms);
        }
        if piece.is_empty() {
            return Taken::Nothing;
        }
        // Nearly always a read brings one request, whole.
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match look(phase, terms, piece, &mut self.known) {
            Look::Whole(layout) => {
                let (request, ahead) = piece.split_at(layout.whole);
                self.held.keep(ahead);
                Taken::Request(Request { bytes: Cow::Borrowed(request), layout })
            }
            Look::More(phase) => {
                if let Phase::Body(layout) = &phase {
                    self.held.bytes.reserve_exact(layout.whole.min(BODY_ROOM));
                }
                self.phase = phase;
                self.held.keep(piece);
                Taken::Nothing
            }
            Look::Foreign => {
                self.phase = Phase::Head { searched: 0 };
                self.held.keep(piece);
                Taken::Foreign
            }
        }
    }

    /// Keeps what has come until [`Self::take`] is called again.
    pub fn keep(&mut self, piece: &[u8]) {
        if self.phase != Phase::Gone {
            self.held.keep(piece);
        }
    }

    fn take_held<'a>(&mut self, terms: &Terms) -> Taken<'a> {
        if matches!(self.phase, Phase::Serving | Phase::Gone) {
            return Taken::Nothing;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match look(phase, terms, self.held.rest(), &mut self.known) {
            Look::Whole(layout) => {
                let request = self.held.take(layout.whole);
                Taken::Request(Request { bytes: Cow::Owned(request), layout })
            }
            Look::More(phase) => {
                self.phase = phase;
                Taken::Nothing
            }
            Look::Foreign => {
                self.phase = Phase::Head { searched: 0 };
                Taken::Foreign
            }
        }
    }

    /// The request in hand is answered, and the connection stays open.
    pub fn finished(&mut self) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Head { searched: 0 };
        }
    }

    /// The request in hand is not for the lane after all, and becomes [`Taken::Foreign`].
    pub fn put_back(&mut self, request: Request<'_>) {
        let mut bytes = request.bytes.into_owned();
        bytes.extend_from_slice(self.held.rest());
        (self.held, self.phase) = (Held { bytes, used: 0 }, Phase::Head { searched: 0 });
    }

    /// Ends it. Returns the bytes that no request has used.
    pub fn leave(&mut self) -> Vec<u8> {
        self.phase = Phase::Gone;
        self.held.take(self.held.len())
    }

    /// Bytes that have come beyond the request in hand, or of one that is not whole.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    pub fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// Whether a request's head has come, and its body not yet; then [`Self::noted`] says what is known
    /// of it.
    pub fn is_reading_body(&self) -> bool {
        matches!(self.phase, Phase::Body(_))
    }

    /// As [`Request::noted`], of the request whose body is being read.
    pub fn noted(&self, header: usize) -> Option<&str> {
        match &self.phase {
            Phase::Body(layout) => layout.noted(self.held.rest(), header),
            _ => None,
        }
    }
}

/// Bytes that wait. Those that a request has used stay in front until they are more than the others, so
/// that a request costs the same whatever waits behind it.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    used: usize,
}

impl Held {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.used
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.used > self.len() {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Takes the next bytes out; if they are all there is, with their memory.
    fn take(&mut self, length: usize) -> Vec<u8> {
        if length < self.len() {
            let taken = self.rest()[..length].to_vec();
            self.used += length;
            return taken;
        }
        let Held { mut bytes, used } = std::mem::take(self);
        bytes.drain(..used);
        bytes
    }
}

enum Look {
    Whole(Layout),
    More(Phase),
    Foreign,
}

/// Goes on as far as `bytes` allow, which begin with a request.
fn look(phase: Phase, terms: &Terms, bytes: &[u8], known: &mut KnownHead) -> Look {
    let layout = match phase {
        Phase::Body(layout) => layout,
        Phase::Serving | Phase::Gone => return Look::More(phase),
        Phase::Head { searched } => match known.layout(terms, bytes) {
            Some(layout) => layout,
            None => match read(terms, bytes, searched, known) {
                Ok(layout) => layout,
                Err(look) => return look,
            },
        },
    };
    if bytes.len() < layout.whole { Look::More(Phase::Body(layout)) } else { Look::Whole(layout) }
}

/// Reads a head that is not the one before.
fn read(
    terms: &Terms,
    bytes: &[u8],
    searched: usize,
    known: &mut KnownHead,
) -> Result<Layout, Look> {
    if !terms.lines.may_be_hot(bytes) {
        return Err(Look::Foreign);
    }
    let Some(end) = head_end(bytes, searched) else {
        let is_too_long = bytes.len() > terms.head;
        let more = || Look::More(Phase::Head { searched: bytes.len() });
        return Err(if is_too_long { Look::Foreign } else { more() });
    };
    let layout = Layout::of(terms, &bytes[..end]).ok_or(Look::Foreign)?;
    known.learn(&bytes[..end], &layout);
    Ok(layout)
}
