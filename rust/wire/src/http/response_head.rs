//! The head of a model server's response.

use super::framing::Framing;
use super::limits::{RESPONSE_HEAD, RESPONSE_HEADERS};

/// The media types that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    EventStream,
    Json,
    Other,
}

/// What Penstock uses of a response head. Nothing else of it is kept or forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    pub framing: Framing,
    pub content_type: ContentType,
    /// Whether the connection may carry another request.
    pub keep_alive: bool,
    pub retry_after: Option<RetryAfter>,
}

impl ResponseHead {
    /// Whether the body is an answer: 200, or 201 to 203, which some servers and proxies send instead.
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200..=203)
    }
}

/// Cap in seconds: a server whose clock is wrong, or that sends milliseconds, must not keep clients away for days.
const MAX_RETRY_AFTER: u32 = 3600;

/// `Retry-After` (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    Seconds(u32),
    /// Seconds since 1970.
    At(u64),
}

impl RetryAfter {
    fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        if let Ok(seconds) = text.parse() {
            return Some(RetryAfter::Seconds(seconds));
        }
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(RetryAfter::At(since.as_secs()))
    }

    /// Seconds from `unix_seconds` on: 0 for a date that has passed, an hour at most.
    pub fn seconds(self, unix_seconds: u64) -> u32 {
        let seconds = match self {
            RetryAfter::Seconds(seconds) => seconds,
            RetryAfter::At(moment) => {
                u32::try_from(moment.saturating_sub(unix_seconds)).unwrap_or(u32::MAX)
            }
        };
        seconds.min(MAX_RETRY_AFTER)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("response head longer than {RESPONSE_HEAD} bytes")]
    TooLarge,
    #[error("malformed response head")]
    Malformed,
    #[error("contradictory body framing")]
    Framing,
    #[error("compressed although identity was asked for")]
    Encoded,
}

/// Decodes a response head that may arrive in pieces.
#[derive(Debug, Default)]
pub struct ResponseHeadDecoder {
    buffer: Vec<u8>,
}

impl ResponseHeadDecoder {
    /// Takes the next piece: `None` while the head is incomplete, else the head and how many bytes
    /// of *this piece* belonged to it. Informational responses (1xx) are skipped.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
        // Nearly always the head arrives whole, and nothing is copied.
        let before = self.buffer.len();
        let mut start = 0;
        loop {
            let found = if before == 0 {
                parse(&piece[start..])?
            } else {
                if self.buffer.len() == before {
                    self.buffer.extend_from_slice(piece);
                }
                parse(&self.buffer[start..])?
            };
            match found {
                Some((head, length)) if (100..200).contains(&head.status) => start += length,
                Some((head, length)) => {
                    let end = start + length;
                    self.buffer = Vec::new();
                    // The head cannot end inside earlier bytes: an earlier call would have returned it.
                    return Ok(Some((head, end.saturating_sub(before))));
                }
                None => {
                    if before == 0 {
                        self.buffer.extend_from_slice(&piece[start..]);
                    } else {
                        self.buffer.drain(..start);
                    }
                    let size = self.buffer.len();
                    return if size > RESPONSE_HEAD { Err(HeadError::TooLarge) } else { Ok(None) };
                }
            }
        }
    }

    /// Whether no byte of a response has arrived.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

fn parse(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; RESPONSE_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(HeadError::Malformed),
    };
    if length > RESPONSE_HEAD {
        return Err(HeadError::TooLarge);
    }
    let status = response.code.unwrap_or(0);
    let mut keep_alive = response.version == Some(1);
    let mut content_length: Option<u64> = None;
    let mut chunked = false;
    let mut content_type = ContentType::Other;
    let mut retry_after = None;
    for header in response.headers.iter() {
        let name = header.name;
        let value = header.value.trim_ascii();
        if name.eq_ignore_ascii_case("content-length") {
            let number = std::str::from_utf8(value)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .ok_or(HeadError::Framing)?;
            if content_length.is_some_and(|earlier| earlier != number) {
                return Err(HeadError::Framing);
            }
            content_length = Some(number);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadError::Framing);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case("connection") {
            for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                if token.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if token.eq_ignore_ascii_case(b"keep-alive") && response.version == Some(0) {
                    keep_alive = true;
                }
            }
        } else if name.eq_ignore_ascii_case("content-type") {
            content_type = media_type(value);
        } else if name.eq_ignore_ascii_case("content-encoding") {
            if !value.is_empty() && !value.eq_ignore_ascii_case(b"identity") {
                return Err(HeadError::Encoded);
            }
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = RetryAfter::parse(value);
        }
    }
    // RFC 9112 §6.3: both together are request smuggling or a broken server.
    let framing = match (chunked, content_length) {
        (true, Some(_)) => return Err(HeadError::Framing),
        _ if status == 204 || status == 304 || status < 200 => Framing::Length(0),
        (true, None) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    // Such a response has no body by its status; if one is sent, it would be read as the next response.
    let has_surplus = framing == Framing::Length(0) && (chunked || content_length > Some(0));
    if framing == Framing::UntilClose || has_surplus {
        keep_alive = false;
    }
    let head = ResponseHead { status, framing, content_type, keep_alive, retry_after };
    Ok(Some((head, length)))
}

fn media_type(value: &[u8]) -> ContentType {
    let essence = value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"text/event-stream") {
        ContentType::EventStream
    } else if essence.eq_ignore_ascii_case(b"application/json")
        || essence.to_ascii_lowercase().ends_with(b"+json")
    {
        ContentType::Json
    } else {
        ContentType::Other
    }
}
