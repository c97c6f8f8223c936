//! Errors as clients see them: the table of codes and statuses, and the code that writes them.

use penstock_wire::json::write_string;

/// The `type` of an error object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    InvalidRequest,
    Permission,
    RateLimit,
    Server,
}

impl ErrorType {
    pub fn name(self) -> &'static str {
        match self {
            ErrorType::InvalidRequest => "invalid_request_error",
            ErrorType::Permission => "permission_error",
            ErrorType::RateLimit => "rate_limit_error",
            ErrorType::Server => "server_error",
        }
    }
}

macro_rules! codes {
    ($($code:ident = $name:literal, $status:literal, $type:ident;)+) => {
        /// The `code` of an error object; it determines the status and the type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($code,)+ }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$code,)+];

            pub fn name(self) -> &'static str {
                match self { $(Code::$code => $name,)+ }
            }

            /// The HTTP status, if the response head is not sent yet.
            pub fn status(self) -> u16 {
                match self { $(Code::$code => $status,)+ }
            }

            /// Whether the same request may succeed later.
            pub fn retry_may_help(self) -> bool {
                match self.status() {
                    408 | 409 | 429 => true,
                    400..=499 | 501 => false,
                    _ => self != Code::UpstreamIgnoredParameter,
                }
            }

            pub fn error_type(self) -> ErrorType {
                match self { $(Code::$code => ErrorType::$type,)+ }
            }
        }
    };
}

codes! {
    InvalidJson = "invalid_json", 400, InvalidRequest;
    DuplicateKey = "duplicate_key", 400, InvalidRequest;
    MissingRequiredParameter = "missing_required_parameter", 400, InvalidRequest;
    InvalidValue = "invalid_value", 400, InvalidRequest;
    UnsupportedParameter = "unsupported_parameter", 400, InvalidRequest;
    ContextLengthExceeded = "context_length_exceeded", 400, InvalidRequest;
    OriginNotAllowed = "origin_not_allowed", 403, Permission;
    ModelNotFound = "model_not_found", 404, InvalidRequest;
    UnknownUrl = "unknown_url", 404, InvalidRequest;
    MethodNotAllowed = "method_not_allowed", 405, InvalidRequest;
    RequestTimeout = "request_timeout", 408, InvalidRequest;
    RequestTooLarge = "request_too_large", 413, InvalidRequest;
    UnsupportedMediaType = "unsupported_media_type", 415, InvalidRequest;
    HeadTooLarge = "head_too_large", 431, InvalidRequest;
    QueueFull = "queue_full", 429, RateLimit;
    DeadlineUnmeetable = "deadline_unmeetable", 429, RateLimit;
    QueueTimeout = "queue_timeout", 429, RateLimit;
    UpstreamOverloaded = "upstream_overloaded", 429, RateLimit;
    InternalError = "internal_error", 500, Server;
    UnsupportedEndpoint = "unsupported_endpoint", 501, Server;
    UpstreamConnect = "upstream_connect", 502, Server;
    UpstreamTls = "upstream_tls", 502, Server;
    UpstreamReset = "upstream_reset", 502, Server;
    UpstreamTruncated = "upstream_truncated", 502, Server;
    UpstreamGarbage = "upstream_garbage", 502, Server;
    UpstreamTooLarge = "upstream_too_large", 502, Server;
    UpstreamError = "upstream_error", 502, Server;
    UpstreamIgnoredParameter = "upstream_ignored_parameter", 502, Server;
    NoBackend = "no_backend", 503, Server;
    Draining = "draining", 503, Server;
    ConnectionLimit = "connection_limit", 503, Server;
    UpstreamTimeout = "upstream_timeout", 504, Server;
    UpstreamStalled = "upstream_stalled", 504, Server;
    DeadlineExceeded = "deadline_exceeded", 504, Server;
}

/// One error, as written in the response body and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    pub param: Option<String>,
    /// For 429 and 503: how long the client should wait before it retries, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// False tells SDKs not to retry by themselves: it cannot help, or would add to an overload.
    pub should_retry: bool,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        ApiError {
            code,
            message: message.into(),
            param: None,
            retry_after_ms: None,
            should_retry: code.retry_may_help(),
        }
    }

    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// Appends `{"error":{"message","type","param","code"}}`: always all four keys, code a string.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":{\"message\":");
        write_string(&self.message, out);
        out.extend_from_slice(b",\"type\":");
        write_string(self.code.error_type().name(), out);
        out.extend_from_slice(b",\"param\":");
        match &self.param {
            Some(param) => write_string(param, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"code\":");
        write_string(self.code.name(), out);
        out.extend_from_slice(b"}}");
    }

    /// Appends the header lines of this error: `retry-after` in whole seconds (at least 1), `retry-after-ms`, and
    /// `x-should-retry`.
    pub fn write_headers(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        if let Some(ms) = self.retry_after_ms {
            let seconds = ms.div_ceil(1000).max(1);
            // Writing to a Vec cannot fail.
            let _ = write!(out, "retry-after: {seconds}\r\nretry-after-ms: {ms}\r\n");
        }
        if !self.should_retry {
            out.extend_from_slice(b"x-should-retry: false\r\n");
        }
    }
}
