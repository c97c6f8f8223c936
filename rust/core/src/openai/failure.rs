//! What a model server says when it fails, in whichever of its shapes.

use penstock_wire::json::{JsonError, Kind, Reader, Value, unescape};

use super::error::{ApiError, Code};

/// Longest text of a backend that is passed on.
const MAX_MESSAGE: usize = 512;

/// What a reported failure means for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request is at fault: the client gets this error.
    Client(ApiError),
    /// The backend is full: a bounce, no failure.
    Full,
    /// The backend is not ready yet: down until a probe says otherwise.
    Loading,
    /// The backend failed; 502, 503 and 504 say that another try may help.
    Fault { error: ApiError, status: u16 },
    /// Somebody in front of the backend says that it cannot be used.
    Unavailable { error: ApiError, status: u16 },
}

/// A failure as read from a body or an error event.
///
/// What it means is decided by its status, its code and its type. Its message decides only by the
/// sentences below: engines repeat what a client has sent, so a word in a message may be the client's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendFailure {
    pub status: u16,
    pub message: String,
    pub param: Option<String>,
    /// `code`, where it is a word.
    pub code: String,
    /// `type` or `error_type`.
    pub kind: String,
    /// It came in an event of a stream, so its status is the event's own.
    pub in_event: bool,
    /// It is an error object in one of the shapes of model servers.
    pub is_reported: bool,
}

/// Codes and types that say that a prompt does not fit (`OpenAI`, llama.cpp).
const OVERFLOW_WORDS: [&str; 2] = ["context_length_exceeded", "exceed_context_size_error"];

/// How the other engines say so: how their messages begin; `#` stands for a number.
const OVERFLOW_SENTENCES: [&str; 16] = [
    // vLLM, LMDeploy
    "This model's maximum context length is #",
    "You passed # input tokens and requested # output tokens. However, the model's context length is only",
    "You passed # input characters. However, the model's context length is only",
    "'max_tokens' or 'max_completion_tokens' is too large: #. This model's maximum context length is",
    "The decoder prompt (length #) is longer than the maximum model length",
    "The prompt (total length #) is longer than the maximum model length",
    // SGLang
    "The input (# tokens) is longer than the model's context length",
    "Input length (# tokens) exceeds the maximum allowed length",
    "Requested token count exceeds the model's maximum context length",
    // TGI
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= #",
    "Input validation error: `inputs` must have less than # tokens",
    // llama.cpp, llama-cpp-python
    "the request exceeds the available context size",
    "request (# tokens) exceeds the available context size",
    "Requested tokens (#) exceed context window of #",
    // LM Studio
    "Trying to keep the first # tokens when context the overflows",
    "The number of tokens to keep from the initial prompt is greater than the context length",
];

/// Codes and types that say that a server has no room.
const FULL_WORDS: [&str; 3] = ["overloaded", "overloaded_error", "queue_full"];
/// How TGI and `SGLang` say so where there is no such word: these are their whole messages.
const FULL_MESSAGES: [&str; 2] = ["Model is overloaded", "The request queue is full."];

/// llama.cpp's type, and its whole message, while it loads its model.
const LOADING_WORDS: [&str; 1] = ["unavailable_error"];
const LOADING_MESSAGES: [&str; 1] = ["Loading model"];

impl BackendFailure {
    /// Reads the body of a response with an error status.
    pub fn of_response(status: u16, body: &[u8]) -> Self {
        let mut failure = BackendFailure { status, ..BackendFailure::default() };
        if failure.read_json(body).is_err() || failure.message.is_empty() {
            failure.message = clip(&String::from_utf8_lossy(body));
        }
        failure
    }

    /// Reads the value of `error` in an event or a body on status 200. Its own status, if it names
    /// one, counts; else it is a fault of the server.
    pub fn of_error_value(text: &[u8], value: Value) -> Self {
        let mut failure = BackendFailure { in_event: true, ..BackendFailure::default() };
        // The value was validated when the event was read.
        let _ = failure.read_error(text, value);
        if !(400..600).contains(&failure.status) {
            failure.status = 500;
        }
        failure
    }

    fn read_json(&mut self, body: &[u8]) -> Result<(), JsonError> {
        let mut reader = Reader::new(body);
        reader.object(|reader, key| {
            let value = reader.value()?;
            self.is_reported |= key.is("error") || key.is("detail") || key.is("code");
            if key.is("error") {
                self.read_error(body, value)?;
            } else {
                self.read_member(body, &key, value);
            }
            Ok::<(), JsonError>(())
        })?;
        Ok(())
    }

    fn read_error(&mut self, text: &[u8], value: Value) -> Result<(), JsonError> {
        match value.kind {
            Kind::String => self.set_message(text, value),
            Kind::Object => {
                let inner = value.span.of(text);
                Reader::new(inner).object(|reader, key| {
                    let value = reader.value()?;
                    self.read_member(inner, &key, value);
                    Ok::<(), JsonError>(())
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn read_member(&mut self, text: &[u8], key: &penstock_wire::json::Key<'_>, value: Value) {
        if key.is("message") || key.is("detail") {
            self.set_message(text, value);
        } else if key.is("param") {
            self.param = value.raw_str(text).map(|raw| clip(&unescape(raw)));
        } else if key.is("type") || key.is("error_type") {
            self.kind = value.raw_str(text).map_or_else(String::new, |raw| clip(&unescape(raw)));
        } else if key.is("code") {
            if let Some(raw) = value.raw_str(text) {
                self.code = clip(&unescape(raw));
            } else if self.status == 0 {
                self.status = value.as_u64(text).map_or(0, |n| n.min(999) as u16);
            }
        } else if key.is("http_status_code") && self.status == 0 {
            self.status = value.as_u64(text).map_or(0, |n| n.min(999) as u16);
        }
    }

    fn set_message(&mut self, text: &[u8], value: Value) {
        self.message = match value.raw_str(text) {
            Some(raw) => clip(&unescape(raw)),
            None => clip(&String::from_utf8_lossy(value.span.of(text))),
        };
    }

    fn has_word(&self, words: &[&str]) -> bool {
        words.iter().any(|word| {
            self.code.eq_ignore_ascii_case(word) || self.kind.eq_ignore_ascii_case(word)
        })
    }

    /// Whether the message is one of these. On a client error it may be the client's own words.
    fn is_message(&self, messages: &[&str]) -> bool {
        let is_servers = self.in_event || self.status >= 500;
        is_servers && messages.contains(&self.message.as_str())
    }

    /// What the failure means. `says_when`: the server has said when to come back. A backend's 401,
    /// 403, 404 and the like are ours, not the client's: Penstock chose the credentials, the path and
    /// the model name.
    pub fn verdict(&self, says_when: bool) -> Verdict {
        let may_be_overflow = matches!(self.status, 400 | 413 | 422) || self.status >= 500;
        let is_overflow = self.has_word(&OVERFLOW_WORDS)
            || OVERFLOW_SENTENCES.iter().any(|sentence| begins(&self.message, sentence));
        if may_be_overflow && is_overflow {
            return Verdict::Client(ApiError::new(Code::ContextLengthExceeded, &self.message));
        }
        if self.status == 503
            && (self.has_word(&LOADING_WORDS) || self.is_message(&LOADING_MESSAGES))
        {
            return Verdict::Loading;
        }
        if self.has_word(&FULL_WORDS) || self.is_message(&FULL_MESSAGES) {
            return Verdict::Full;
        }
        match self.status {
            429 => Verdict::Full,
            // RFC 9110 §15.6.4: a temporary overload, if the server says how long it will take.
            503 if says_when => Verdict::Full,
            400 | 422 => Verdict::Client(ApiError {
                param: self.param.clone(),
                ..ApiError::new(
                    Code::InvalidValue,
                    self.text_or("the model server refused the request"),
                )
            }),
            413 => Verdict::Client(ApiError::new(
                Code::RequestTooLarge,
                self.text_or("the request is too large for the model server"),
            )),
            status => {
                let message = format!("the model server answered with status {status}");
                let error = ApiError::new(Code::UpstreamError, self.text_or(&message));
                if self.is_of_a_proxy() {
                    Verdict::Unavailable { error, status }
                } else {
                    Verdict::Fault { error, status }
                }
            }
        }
    }

    /// Whether it is a proxy that has answered in the server's stead, with a page or a line of its own: nginx,
    /// `HAProxy`, Envoy, Traefik, Kong. What a server reports itself may be the fault of one request alone.
    fn is_of_a_proxy(&self) -> bool {
        matches!(self.status, 502 | 503) && !self.in_event && !self.is_reported
    }

    fn text_or(&self, other: &str) -> String {
        if self.message.is_empty() { other.to_owned() } else { self.message.clone() }
    }
}

/// At most [`MAX_MESSAGE`] bytes, control characters turned to spaces.
fn clip(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Whether a message begins with a sentence in which each `#` stands for a number.
fn begins(message: &str, sentence: &str) -> bool {
    let mut rest = message;
    for (at, part) in sentence.split('#').enumerate() {
        if at > 0 {
            let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            if number.len() == rest.len() {
                return false;
            }
            rest = number;
        }
        match rest.strip_prefix(part) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{BackendFailure, Code, FULL_WORDS, Verdict, begins};

    fn verdict(status: u16, body: &str) -> Verdict {
        BackendFailure::of_response(status, body.as_bytes()).verdict(false)
    }

    fn code(verdict: &Verdict) -> Option<Code> {
        match verdict {
            Verdict::Client(error) => Some(error.code),
            _ => None,
        }
    }

    #[test]
    fn a_number_is_digits_at_its_place() {
        assert!(begins("request (12 tokens) exceeds", "request (# tokens) exceeds"));
        assert!(begins("limit 7", "limit #"));
        assert!(!begins("request ( tokens) exceeds", "request (# tokens) exceeds"));
        assert!(!begins("say: limit 7", "limit #"));
        assert!(!begins("limi", "limit #"));
    }

    #[test]
    fn the_prompt_is_too_long_in_the_words_of_current_vllm() {
        for message in [
            "You passed 31745 input tokens and requested 1024 output tokens. However, the model's context length is only 32768 tokens, resulting in a maximum input length of 31744 tokens.",
            "You passed 200000 input characters. However, the model's context length is only 32768 tokens.",
        ] {
            let body = format!(
                r#"{{"error":{{"message":"{message}","type":"BadRequestError","code":400}}}}"#
            );
            assert_eq!(code(&verdict(400, &body)), Some(Code::ContextLengthExceeded), "{message}");
        }
    }

    #[test]
    fn the_clients_own_words_decide_nothing() {
        let words = [
            "overloaded",
            "the queue is full",
            "Model is overloaded",
            "The request queue is full.",
            "loading",
            "Loading model",
            "context length",
            "max_seq_len",
            "This model's maximum context length is 1 tokens",
            "unavailable_error",
            "context_length_exceeded",
        ];
        for word in words {
            // vLLM's form, FastAPI's, and an engine that says nothing but what it was sent.
            let bodies = [
                format!(
                    r#"{{"error":{{"message":"1 validation error: {{'input': '{word}'}}","type":"Bad Request","code":400}}}}"#
                ),
                format!(r#"{{"detail":[{{"type":"float_parsing","input":"{word}"}}]}}"#),
                format!(r#"{{"error":"cannot read {word}"}}"#),
                format!("cannot read {word}"),
            ];
            for (status, body) in
                [400, 422].into_iter().flat_map(|s| bodies.iter().map(move |b| (s, b)))
            {
                assert_eq!(
                    code(&verdict(status, body)),
                    Some(Code::InvalidValue),
                    "{status} {body}"
                );
            }
            for body in &bodies {
                let is_fault = match verdict(503, body) {
                    Verdict::Fault { status, .. } => status == 503 && body.starts_with('{'),
                    Verdict::Unavailable { status, .. } => status == 503 && !body.starts_with('{'),
                    _ => false,
                };
                assert!(is_fault, "{body}");
                assert!(matches!(verdict(500, body), Verdict::Fault { status: 500, .. }), "{body}");
            }
        }
        for message in ["Model is overloaded", "The request queue is full."] {
            assert_eq!(code(&verdict(400, message)), Some(Code::InvalidValue), "{message}");
        }
    }

    #[test]
    fn who_has_answered_shows_in_how() {
        for (status, body, is_a_proxy) in [
            (502, "<html><head><title>502 Bad Gateway</title></head></html>", true),
            (503, "upstream connect error or disconnect/reset before headers", true),
            (503, "", true),
            (503, "Service Unavailable", true),
            (
                502,
                r#"{"message":"An invalid response was received from the upstream server"}"#,
                true,
            ),
            (504, "<h1>504 Gateway Time-out</h1>", false),
            (500, "Internal Server Error", false),
            (503, r#"{"error":"server busy, please try again"}"#, false),
            (503, r#"{"detail":"Worker is shutting down"}"#, false),
            (502, r#"{"object":"error","message":"x","type":"BadGateway","code":502}"#, false),
            (502, r#"{"error":{"message":"x","type":null,"param":"n","code":null}}"#, false),
        ] {
            let is_it = matches!(verdict(status, body), Verdict::Unavailable { .. });
            assert_eq!(is_it, is_a_proxy, "{status} {body}");
        }
    }

    #[test]
    fn what_engines_say_is_understood() {
        for word in FULL_WORDS {
            let body = format!(r#"{{"error":"x","error_type":"{word}"}}"#);
            assert_eq!(verdict(503, &body), Verdict::Full);
        }
        assert_eq!(
            verdict(503, r#"{"object":"error","message":"The request queue is full."}"#),
            Verdict::Full
        );
        let loading =
            r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
        assert_eq!(verdict(503, loading), Verdict::Loading);
        assert_eq!(verdict(429, ""), Verdict::Full);
        let busy = BackendFailure::of_response(503, br#"{"error":"the engine is currently busy"}"#);
        assert_eq!(busy.verdict(true), Verdict::Full);
        assert!(matches!(busy.verdict(false), Verdict::Fault { status: 503, .. }));
        let long = r#"{"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","type":"BadRequestError","code":400}"#;
        assert_eq!(code(&verdict(400, long)), Some(Code::ContextLengthExceeded));
    }
}
