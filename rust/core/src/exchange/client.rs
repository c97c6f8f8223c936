//! What an exchange knows of its client.

/// The client's side of a request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's `x-request-id` if valid, else a generated one.
    pub request_id: String,
    pub keep_alive: bool,
    pub http10: bool,
    /// Further header lines for each answer, each ended by CRLF; usually empty.
    pub headers: Vec<u8>,
}
