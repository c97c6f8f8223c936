//! Chat requests as bytes.

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Whole,
    Stream,
}

/// A request whose prompt has about `bytes` bytes. `extra`: header lines, each ended by CRLF.
pub fn request(kind: Kind, model: &str, bytes: usize, extra: &str) -> Vec<u8> {
    let stream = kind == Kind::Stream;
    let prompt = "river ".repeat(bytes.div_ceil(6));
    let prompt = &prompt[..bytes];
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
