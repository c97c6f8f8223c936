//! Chat requests as bytes.

use crate::text::{Text, text};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Whole,
    Stream,
}

/// A request whose prompt has `bytes` bytes of that text. `extra`: header lines, each ended by CRLF.
pub fn request(kind: Kind, model: &str, (prompt, bytes): (Text, usize), extra: &str) -> Vec<u8> {
    let stream = kind == Kind::Stream;
    let prompt = text(prompt, bytes);
    let body = format!(
        "{{\"model\": \"{model}\", \"stream\": {stream}, \"temperature\": 0.7, \
         \"messages\": [{{\"role\": \"user\", \"content\": \"{prompt}\"}}]}}"
    );
    let length = body.len();
    // The headers of OpenAI's Python client, but nothing compressed: that would be another work.
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\n\
         Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         User-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\n\
         X-Stainless-Arch: x64\r\nX-Stainless-Retry-Count: 0\r\nAuthorization: Bearer none\r\n\
         {extra}Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
