//! JSON without a tree: one pass over the bytes, byte ranges out, edits by splicing.
//!
//! A request or a chunk is never parsed into values and written again: what Penstock does not
//! change leaves as it came, with its key order, number text and unknown fields (RFC 8259 leaves
//! all of these to the sender).

mod edits;
mod reader;
mod text;

pub use edits::{Cutter, Edits};
pub use reader::{
    JsonError, JsonFault, Key, Kind, MAX_DEPTH, Reader, Span, Value, is_inside_of_string,
};
pub use text::{unescape, write_string};
