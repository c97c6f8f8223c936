//! JSON without a tree: one pass over the bytes, byte ranges out, edits by splicing.
//!
//! A request or a chunk is never parsed into values and written again. So what Penstock does not change keeps its key
//! order, number text and unknown fields (RFC 8259 leaves all of these to the sender).

mod case_folding;
mod edits;
mod error;
mod member_filter;
mod reader;
mod scalars;
mod text;
mod value;

pub use case_folding::{folded, is_folded};
pub use edits::Edits;
pub use error::{JsonError, JsonErrorKind, MAX_DEPTH};
pub use member_filter::MemberFilter;
pub use reader::Reader;
pub use scalars::is_string_content;
pub use text::{unescape, write_string};
pub use value::{Key, Kind, Span, Value};
