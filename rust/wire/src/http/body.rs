//! Decodes the body of a response, whichever way it is framed (RFC 9112 §6.3).

use super::chunked::{ChunkedDecoder, FramingError};
use super::framing::Framing;

/// What the end of the connection means for the body being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// The body was complete before, or its framing says that it ends with the connection.
    Complete,
    /// Bytes are missing.
    Truncated,
}

#[derive(Debug, Clone)]
pub enum BodyDecoder {
    /// How many bytes are missing.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyDecoder {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => BodyDecoder::Length(length),
            Framing::Chunked => BodyDecoder::Chunked(ChunkedDecoder::default()),
            Framing::UntilClose => BodyDecoder::UntilClose,
        }
    }

    pub fn is_done(&self) -> bool {
        match self {
            BodyDecoder::Length(left) => *left == 0,
            BodyDecoder::Chunked(decoder) => decoder.is_done(),
            BodyDecoder::UntilClose => false,
        }
    }

    /// As [`ChunkedDecoder::next`], for any framing.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), FramingError> {
        match self {
            BodyDecoder::Length(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= take as u64;
                Ok((take, &input[..take]))
            }
            BodyDecoder::Chunked(decoder) => decoder.next(input),
            BodyDecoder::UntilClose => Ok((input.len(), input)),
        }
    }

    /// The peer has closed its side.
    pub fn at_eof(&self) -> BodyEnd {
        match self {
            BodyDecoder::UntilClose => BodyEnd::Complete,
            _ if self.is_done() => BodyEnd::Complete,
            _ => BodyEnd::Truncated,
        }
    }
}
