//! One client's connection on the lane, without I/O: bytes in, whole requests out, and when to read on.

mod config;
mod connection;

pub use config::ClientConfig;
pub use connection::{Answered, ClientConnection, Left, Overdue, Received, Step};
