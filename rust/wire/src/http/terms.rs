//! What is served of a client's requests.

use super::hot::RequestLines;

/// What a request must keep within to be served here, and what is wanted of its head.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What is served.
    pub lines: RequestLines,
    /// Most bytes of a head.
    pub head: usize,
    /// Most bytes of a body.
    pub body: u64,
    /// Names of headers to be noted, in any case.
    pub noted: Vec<String>,
}
