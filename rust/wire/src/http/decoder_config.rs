//! What a request decoder accepts.

use super::request_head::RequestLines;

/// What a request decoder accepts, and which headers it captures. Shared by all connections of a listener.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    pub lines: RequestLines,
    /// Most bytes of a head.
    pub max_head: usize,
    /// Most bytes of a body.
    pub max_body: u64,
    /// Names of the headers whose values [`super::Request::captured`] returns, in any case.
    pub captured: Vec<String>,
}
