//! Server-sent events: the scanner that reads what a model server streams.

mod scanner;

pub use scanner::{Event, SseScanner, TooLong};
