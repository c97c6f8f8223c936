//! Decodes the requests of one client connection, one at a time, however their bytes are split.

use std::borrow::Cow;

use super::decoder_config::DecoderConfig;
use super::head_cache::HeadCache;
use super::head_layout::HeadLayout;
use super::input_buffer::InputBuffer;
use super::request_head::head_end;

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    bytes: Cow<'a, [u8]>,
    layout: HeadLayout,
}

impl Request<'_> {
    /// Which of the served paths it is for.
    pub fn path(&self) -> usize {
        self.layout.path
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.layout.head..]
    }

    /// The last value of a captured header. If several proxies added the header, that is the nearest proxy's.
    pub fn captured(&self, header: usize) -> Option<&str> {
        self.layout.captured(&self.bytes, header)
    }
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// No new request: bytes are missing, or the current request is not finished.
    Pending,
    /// The next request. It is the current one until [`RequestDecoder::finish`].
    Request(Request<'a>),
    /// A request that needs a general HTTP server. [`RequestDecoder::close`] returns its bytes.
    Unsupported,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a request, or for the rest of its head. The first `searched` bytes do not contain the head's end.
    Head { searched: usize },
    /// Waits for the rest of a body.
    Body(HeadLayout),
    /// A request was returned and is not finished; later bytes are buffered.
    Serving,
    /// The connection was closed or handed over.
    Closed,
}

/// Memory reserved for a body before any of it has arrived. A client that only announces a large body gets no more.
const INITIAL_BODY_CAPACITY: usize = 256 << 10;

/// The decoding state of one connection. Bytes are copied only where a read does not end with a request.
#[derive(Debug)]
pub struct RequestDecoder {
    phase: Phase,
    input: InputBuffer,
    last_head: HeadCache,
}

impl Default for RequestDecoder {
    fn default() -> Self {
        let phase = Phase::Head { searched: 0 };
        RequestDecoder { phase, input: InputBuffer::default(), last_head: HeadCache::default() }
    }
}

impl RequestDecoder {
    /// Whether `bytes` begin with the whole head of a supported request.
    pub fn supports(config: &DecoderConfig, bytes: &[u8]) -> bool {
        config.lines.may_match(bytes)
            && head_end(bytes, 0)
                .is_some_and(|end| HeadLayout::parse(config, &bytes[..end]).is_some())
    }

    /// Decodes the next request from what was buffered and `piece`. Call it again with an empty piece after
    /// [`Self::finish`].
    pub fn decode<'a>(&mut self, config: &DecoderConfig, piece: &'a [u8]) -> Decoded<'a> {
        if matches!(self.phase, Phase::Serving | Phase::Closed) || self.input.len() > 0 {
            self.buffer(piece);
            return self.decode_buffered(config);
        }
        if piece.is_empty() {
            return Decoded::Pending;
        }
        // Nearly always a read is exactly one request, and nothing is copied.
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match advance(phase, config, piece, &mut self.last_head) {
            Progress::Complete(layout) => {
                let (request, rest) = piece.split_at(layout.total);
                self.input.push(rest);
                Decoded::Request(Request { bytes: Cow::Borrowed(request), layout })
            }
            Progress::Incomplete(phase) => {
                if let Phase::Body(layout) = &phase {
                    self.input.reserve_exact(layout.total.min(INITIAL_BODY_CAPACITY));
                }
                self.phase = phase;
                self.input.push(piece);
                Decoded::Pending
            }
            Progress::Unsupported => {
                self.phase = Phase::Head { searched: 0 };
                self.input.push(piece);
                Decoded::Unsupported
            }
        }
    }

    /// Buffers bytes for a later [`Self::decode`].
    pub fn buffer(&mut self, piece: &[u8]) {
        if self.phase != Phase::Closed {
            self.input.push(piece);
        }
    }

    fn decode_buffered<'a>(&mut self, config: &DecoderConfig) -> Decoded<'a> {
        if matches!(self.phase, Phase::Serving | Phase::Closed) {
            return Decoded::Pending;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Serving);
        match advance(phase, config, self.input.unread(), &mut self.last_head) {
            Progress::Complete(layout) => {
                let request = self.input.take(layout.total);
                Decoded::Request(Request { bytes: Cow::Owned(request), layout })
            }
            Progress::Incomplete(phase) => {
                self.phase = phase;
                Decoded::Pending
            }
            Progress::Unsupported => {
                self.phase = Phase::Head { searched: 0 };
                Decoded::Unsupported
            }
        }
    }

    /// The current request is answered, and the connection stays open.
    pub fn finish(&mut self) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Head { searched: 0 };
        }
    }

    /// Undoes the decoding of the current request, so that [`Self::close`] returns its bytes too.
    pub fn put_back(&mut self, request: Request<'_>) {
        self.input.put_back(request.bytes.into_owned());
        self.phase = Phase::Head { searched: 0 };
    }

    /// Decodes no more. Returns the bytes that no request has consumed.
    pub fn close(&mut self) -> Vec<u8> {
        self.phase = Phase::Closed;
        self.input.take(self.input.len())
    }

    /// Bytes behind the current request, or of an incomplete one.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Whether a request was returned that is not finished.
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether a request's head is complete and its body is not. Meanwhile [`Self::captured`] returns its headers.
    pub fn is_reading_body(&self) -> bool {
        matches!(self.phase, Phase::Body(_))
    }

    /// As [`Request::captured`], for the request whose body is being read.
    pub fn captured(&self, header: usize) -> Option<&str> {
        match &self.phase {
            Phase::Body(layout) => layout.captured(self.input.unread(), header),
            _ => None,
        }
    }
}

enum Progress {
    Complete(HeadLayout),
    Incomplete(Phase),
    Unsupported,
}

/// Goes on as far as `bytes` allow, which begin with a request.
fn advance(
    phase: Phase,
    config: &DecoderConfig,
    bytes: &[u8],
    last_head: &mut HeadCache,
) -> Progress {
    let layout = match phase {
        Phase::Body(layout) => layout,
        Phase::Serving | Phase::Closed => return Progress::Incomplete(phase),
        Phase::Head { searched } => match last_head.layout(config, bytes) {
            Some(layout) => layout,
            None => match parse_head(config, bytes, searched, last_head) {
                Ok(layout) => layout,
                Err(progress) => return progress,
            },
        },
    };
    if bytes.len() < layout.total {
        Progress::Incomplete(Phase::Body(layout))
    } else {
        Progress::Complete(layout)
    }
}

/// Parses a head that is not the cached one, and caches it.
fn parse_head(
    config: &DecoderConfig,
    bytes: &[u8],
    searched: usize,
    last_head: &mut HeadCache,
) -> Result<HeadLayout, Progress> {
    if !config.lines.may_match(bytes) {
        return Err(Progress::Unsupported);
    }
    let Some(end) = head_end(bytes, searched) else {
        if bytes.len() > config.max_head {
            return Err(Progress::Unsupported);
        }
        return Err(Progress::Incomplete(Phase::Head { searched: bytes.len() }));
    };
    let layout = HeadLayout::parse(config, &bytes[..end]).ok_or(Progress::Unsupported)?;
    last_head.store(&bytes[..end], &layout);
    Ok(layout)
}
