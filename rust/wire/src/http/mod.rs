//! HTTP/1.1 as Penstock speaks it to model servers and clients (RFC 9112).

mod body;
mod chunked;
mod date;
mod head;
mod hot;
mod intake;
mod layout;
pub mod limits;
mod request;
mod response;
mod terms;

pub use body::{BodyDecoder, BodyEnd};
pub use chunked::{ChunkedDecoder, FramingError};
pub use date::DateText;
pub use head::{ContentType, Framing, HeadError, HeadReader, ResponseHead, RetryAfter};
pub use hot::{HotHead, RequestLines, head_end};
pub use intake::{Intake, Request, Taken};
pub use request::write_request_head;
pub use response::{
    AnswerHead, CHUNK_SIZE_LINE, Framed, LAST_CHUNK, chunk_size, reason, write_answer_head,
};
pub use terms::Terms;
