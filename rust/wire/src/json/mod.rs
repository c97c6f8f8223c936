//! JSON without a tree: one pass over the bytes, byte ranges out, edits by splicing.
//!
//! A request or a chunk is never parsed into values and written again: what Penstock does not
//! change leaves as it came, with its key order, number text and unknown fields (RFC 8259 leaves
//! all of these to the sender).

mod edits;
mod fault;
mod folding;
mod reader;
mod scalars;
mod text;
mod value;

pub use edits::{Cutter, Edits};
pub use fault::{JsonError, JsonFault, MAX_DEPTH};
pub use folding::{folded, is_folded};
pub use reader::Reader;
pub use scalars::is_inside_of_string;
pub use text::{unescape, write_string};
pub use value::{Key, Kind, Span, Value};
