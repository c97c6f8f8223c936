//! How the end of a message body is known (RFC 9112 §6.3).

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length in bytes.
    Length(u64),
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}
