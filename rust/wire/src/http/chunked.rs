//! Decodes the chunked transfer coding from pieces of any size (RFC 9112 §7.1).

use super::limits::{CHUNK_EXTENSION, CHUNK_SIZE_DIGITS, TRAILERS};

/// The peer's framing is broken; the connection cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("bad chunk size")]
    Size,
    #[error("chunk size over 64 bits")]
    SizeTooLarge,
    #[error("chunk extension too long")]
    ExtensionTooLong,
    #[error("chunk data not followed by CRLF")]
    DataEnd,
    #[error("trailers too long or malformed")]
    Trailers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// In the size line; the number of digits so far.
    Size(u32),
    /// Behind the size, up to CR; the number of bytes skipped so far.
    Extension(usize),
    /// Expects the LF of the size line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// Expects the LF of the last, empty line.
    EndLf,
    Done,
}

/// Decodes one chunked body.
#[derive(Debug, Clone)]
pub struct ChunkedDecoder {
    state: ChunkState,
    /// The chunk size while it is being read, then the data bytes that are missing of the chunk.
    left: u64,
    trailer_bytes: usize,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        ChunkedDecoder { state: ChunkState::Size(0), left: 0, trailer_bytes: 0 }
    }
}

impl ChunkedDecoder {
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Decodes the next part of `input`. Returns how many bytes it consumed, and the part of `input` that is
    /// body data. Call it again with the rest until nothing is left or the body is done.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), FramingError> {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            if self.state == ChunkState::Data {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = ChunkState::DataCr;
                }
                return Ok((at + take, &input[at..at + take]));
            }
            if self.state == ChunkState::Done {
                break;
            }
            self.state = self.step(byte)?;
            at += 1;
        }
        Ok((at, &[]))
    }

    fn step(&mut self, byte: u8) -> Result<ChunkState, FramingError> {
        Ok(match self.state {
            ChunkState::Size(digits) => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if digits >= CHUNK_SIZE_DIGITS => {
                    return Err(FramingError::SizeTooLarge);
                }
                (Some(digit), _) => {
                    self.left = self.left << 4 | u64::from(digit);
                    ChunkState::Size(digits + 1)
                }
                (None, _) if digits == 0 => return Err(FramingError::Size),
                (None, b'\r') => ChunkState::SizeLf,
                (None, b';' | b' ' | b'\t') => ChunkState::Extension(0),
                (None, _) => return Err(FramingError::Size),
            },
            ChunkState::Extension(length) => match byte {
                b'\r' => ChunkState::SizeLf,
                // Request smuggling: some proxies take a bare LF in an extension for the line's end.
                b'\n' => return Err(FramingError::Size),
                _ if length >= CHUNK_EXTENSION => return Err(FramingError::ExtensionTooLong),
                _ => ChunkState::Extension(length + 1),
            },
            ChunkState::SizeLf => match (byte, self.left) {
                (b'\n', 0) => ChunkState::TrailerStart,
                (b'\n', _) => ChunkState::Data,
                _ => return Err(FramingError::Size),
            },
            ChunkState::DataCr if byte == b'\r' => ChunkState::DataLf,
            ChunkState::DataLf if byte == b'\n' => ChunkState::Size(0),
            ChunkState::DataCr | ChunkState::DataLf => return Err(FramingError::DataEnd),
            ChunkState::TrailerStart if byte == b'\r' => ChunkState::EndLf,
            ChunkState::TrailerStart | ChunkState::Trailer => {
                self.trailer_bytes += 1;
                match byte {
                    _ if self.trailer_bytes > TRAILERS => return Err(FramingError::Trailers),
                    b'\r' => ChunkState::TrailerLf,
                    b'\n' => return Err(FramingError::Trailers),
                    _ => ChunkState::Trailer,
                }
            }
            ChunkState::TrailerLf if byte == b'\n' => ChunkState::TrailerStart,
            ChunkState::EndLf if byte == b'\n' => ChunkState::Done,
            ChunkState::TrailerLf | ChunkState::EndLf => return Err(FramingError::Trailers),
            ChunkState::Data | ChunkState::Done => self.state,
        })
    }
}
