//! One client's connection on the lane, without I/O: bytes in, whole requests out, and when to read on.

mod connection;
mod terms;

pub use connection::{Answered, ClientConnection, Left, Overdue, Received, Step};
pub use terms::ClientTerms;
