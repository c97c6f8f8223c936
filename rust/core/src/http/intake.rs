//! What a client sends on one connection, cut into requests: one at a time, however it arrives.

use std::borrow::Cow;

use super::hot::{HotHead, head_end, may_be_hot};
use crate::json::Span;

/// What a request must keep within to be served here, and what is wanted of its head.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Most bytes of a head.
    pub head: usize,
    /// Most bytes of a body.
    pub body: u64,
    /// Names of headers to be noted, in any case.
    pub noted: Vec<String>,
}

impl Terms {
    /// Whether `bytes` begin with the whole head of a request that is served here.
    pub fn serves(&self, bytes: &[u8]) -> bool {
        may_be_hot(bytes)
            && head_end(bytes, 0).is_some_and(|end| layout_of(self, &bytes[..end]).is_some())
    }
}

/// A noted header of a request: which of [`Terms::noted`], and where in the head its value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    header: usize,
    value: Span,
}

/// A request, whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    bytes: Cow<'a, [u8]>,
    layout: Layout,
}

/// Where the parts of a request lie.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    head: usize,
    /// Head and body together.
    whole: usize,
    notes: Vec<Note>,
}

impl Request<'_> {
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.layout.head..]
    }

    /// The last value of a noted header, which is the one that the nearest proxy has added.
    pub fn noted(&self, header: usize) -> Option<&str> {
        noted(&self.bytes, &self.layout.notes, header)
    }
}

fn noted<'a>(bytes: &'a [u8], notes: &[Note], header: usize) -> Option<&'a str> {
    let note = notes.iter().rev().find(|note| note.header == header)?;
    // A hot head is ASCII.
    std::str::from_utf8(note.value.of(bytes)).ok()
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

/// The state of one connection. Bytes are copied only where a read does not end with a request.
#[derive(Debug)]
pub struct Intake {
    phase: Phase,
    held: Vec<u8>,
}

impl Default for Intake {
    fn default() -> Self {
        Intake { phase: Phase::Head { searched: 0 }, held: Vec::new() }
    }
}

impl Intake {
    /// Takes what has come, if anything, and says what has come to be. To be called again, with
    /// nothing, after [`Self::finished`].
    pub fn take<'a>(&mut self, terms: &Terms, piece: &'a [u8]) -> Taken<'a> {
        if matches!(self.phase, Phase::Serving | Phase::Gone) || !self.held.is_empty() {
            self.held.extend_from_slice(piece);
            return self.take_held(terms);
        }
        if piece.is_empty() {
            return Taken::Nothing;
        }
        // Nearly always a read brings one request, whole.
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match look(phase, terms, piece) {
            Look::Whole(layout) => {
                let (request, ahead) = piece.split_at(layout.whole);
                self.held.extend_from_slice(ahead);
                Taken::Request(Request { bytes: Cow::Borrowed(request), layout })
            }
            Look::More(phase) => {
                if let Phase::Body(layout) = &phase {
                    self.held.reserve_exact(layout.whole);
                }
                self.phase = phase;
                self.held.extend_from_slice(piece);
                Taken::Nothing
            }
            Look::Foreign => {
                self.phase = Phase::Head { searched: 0 };
                self.held.extend_from_slice(piece);
                Taken::Foreign
            }
        }
    }

    fn take_held<'a>(&mut self, terms: &Terms) -> Taken<'a> {
        if matches!(self.phase, Phase::Serving | Phase::Gone) {
            return Taken::Nothing;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match look(phase, terms, &self.held) {
            Look::Whole(layout) => {
                let ahead = self.held.split_off(layout.whole);
                let request = std::mem::replace(&mut self.held, ahead);
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
        bytes.append(&mut self.held);
        (self.held, self.phase) = (bytes, Phase::Head { searched: 0 });
    }

    /// Ends it. Returns the bytes that no request has used.
    pub fn leave(&mut self) -> Vec<u8> {
        self.phase = Phase::Gone;
        std::mem::take(&mut self.held)
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
            Phase::Body(layout) => noted(&self.held, &layout.notes, header),
            _ => None,
        }
    }
}

enum Look {
    Whole(Layout),
    More(Phase),
    Foreign,
}

/// Goes on as far as `bytes` allow, which begin with a request.
fn look(phase: Phase, terms: &Terms, bytes: &[u8]) -> Look {
    let layout = match phase {
        Phase::Body(layout) => layout,
        Phase::Serving | Phase::Gone => return Look::More(phase),
        Phase::Head { searched } => {
            if !may_be_hot(bytes) {
                return Look::Foreign;
            }
            match head_end(bytes, searched) {
                None if bytes.len() > terms.head => return Look::Foreign,
                None => return Look::More(Phase::Head { searched: bytes.len() }),
                Some(end) => match layout_of(terms, &bytes[..end]) {
                    None => return Look::Foreign,
                    Some(layout) => layout,
                },
            }
        }
    };
    if bytes.len() < layout.whole { Look::More(Phase::Body(layout)) } else { Look::Whole(layout) }
}

fn layout_of(terms: &Terms, head: &[u8]) -> Option<Layout> {
    let mut notes = Vec::new();
    let hot = HotHead::parse(head, |name, value| {
        if let Some(header) =
            terms.noted.iter().position(|noted| name.eq_ignore_ascii_case(noted.as_bytes()))
        {
            let start = value.as_ptr() as usize - head.as_ptr() as usize;
            notes.push(Note { header, value: Span { start, end: start + value.len() } });
        }
    })?;
    if head.len() > terms.head || hot.body > terms.body {
        return None;
    }
    // `limits.body` is far below what a `usize` holds.
    Some(Layout { head: head.len(), whole: head.len() + hot.body as usize, notes })
}
