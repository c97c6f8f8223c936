//! HTTP/1.1 as Penstock speaks it to model servers and clients (RFC 9112).
//!
//! | read or written | file |
//! |---|---|
//! | requests of a client connection | `request_decoder`; their heads: `request_head`, `head_layout`, `head_cache` |
//! | response of a model server | `response_head`, `body`, `chunked` |
//! | request to a model server | `write_request` |
//! | response head to a client | `write_response`, `date` |

mod body;
mod chunked;
mod date;
mod decoder_config;
mod framing;
mod head_cache;
mod head_layout;
mod input_buffer;
pub mod limits;
mod request_decoder;
mod request_head;
mod response_head;
mod write_request;
mod write_response;

pub use body::{BodyDecoder, BodyEnd};
pub use chunked::{ChunkedDecoder, FramingError};
pub use date::DateText;
pub use decoder_config::DecoderConfig;
pub use framing::Framing;
pub use request_decoder::{Decoded, Request, RequestDecoder};
pub use request_head::{RequestHead, RequestLines, head_end};
pub use response_head::{ContentType, HeadError, ResponseHead, ResponseHeadDecoder, RetryAfter};
pub use write_request::write_request_head;
pub use write_response::{
    AnswerHead, CHUNK_SIZE_LINE, LAST_CHUNK, chunk_size, reason, write_answer_head,
};
