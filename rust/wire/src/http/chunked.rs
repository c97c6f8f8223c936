//! The chunked transfer coding, read in pieces of any size (RFC 9112 §7.1).

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
enum State {
    /// In the size line; how many digits were read.
    Size(u32),
    /// Behind the size, up to CR; how many bytes were skipped.
    Extension(usize),
    /// The LF of the size line is due.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// The LF of the last, empty line is due.
    EndLf,
    Done,
}

/// Decodes one chunked body.
#[derive(Debug, Clone)]
pub struct ChunkedDecoder {
    state: State,
    /// The size being read, then the data bytes still due of this chunk.
    left: u64,
    trailer_bytes: usize,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        ChunkedDecoder { state: State::Size(0), left: 0, trailer_bytes: 0 }
    }
}

impl ChunkedDecoder {
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next stretch of `input`: how many bytes it used, and the range of `input` that is
    /// body data. Call again with the rest until nothing is left or the body is done.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), FramingError> {
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            if self.state == State::Data {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok((at + take, &input[at..at + take]));
            }
            if self.state == State::Done {
                break;
            }
            self.state = self.step(byte)?;
            at += 1;
        }
        Ok((at, &[]))
    }

    fn step(&mut self, byte: u8) -> Result<State, FramingError> {
        Ok(match self.state {
            State::Size(digits) => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if digits >= CHUNK_SIZE_DIGITS => {
                    return Err(FramingError::SizeTooLarge);
                }
                (Some(digit), _) => {
                    self.left = self.left << 4 | u64::from(digit);
                    State::Size(digits + 1)
                }
                (None, _) if digits == 0 => return Err(FramingError::Size),
                (None, b'\r') => State::SizeLf,
                (None, b';' | b' ' | b'\t') => State::Extension(0),
                (None, _) => return Err(FramingError::Size),
            },
            State::Extension(length) => match byte {
                b'\r' => State::SizeLf,
                // A bare LF inside an extension is how chunk framing is smuggled past proxies.
                b'\n' => return Err(FramingError::Size),
                _ if length >= CHUNK_EXTENSION => return Err(FramingError::ExtensionTooLong),
                _ => State::Extension(length + 1),
            },
            State::SizeLf => match (byte, self.left) {
                (b'\n', 0) => State::TrailerStart,
                (b'\n', _) => State::Data,
                _ => return Err(FramingError::Size),
            },
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::Size(0),
            State::DataCr | State::DataLf => return Err(FramingError::DataEnd),
            State::TrailerStart if byte == b'\r' => State::EndLf,
            State::TrailerStart | State::Trailer => {
                self.trailer_bytes += 1;
                match byte {
                    _ if self.trailer_bytes > TRAILERS => return Err(FramingError::Trailers),
                    b'\r' => State::TrailerLf,
                    b'\n' => return Err(FramingError::Trailers),
                    _ => State::Trailer,
                }
            }
            State::TrailerLf if byte == b'\n' => State::TrailerStart,
            State::EndLf if byte == b'\n' => State::Done,
            State::TrailerLf | State::EndLf => return Err(FramingError::Trailers),
            State::Data | State::Done => self.state,
        })
    }
}
