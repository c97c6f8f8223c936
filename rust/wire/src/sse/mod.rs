//! Server-sent events, the format in which model servers stream.

mod scanner;

pub use scanner::{Event, SseScanner, TooLong};
