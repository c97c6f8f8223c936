//! What a model server says when it fails, in whichever of its shapes (research/compat.md §4).

use super::error::{ApiError, Code};
use crate::json::{JsonError, Kind, Reader, Value, unescape};

/// Longest text of a backend that is passed on (research/reliability-and-ux.md §1.11).
const MAX_MESSAGE: usize = 512;

/// What a reported failure means for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request is at fault: the client gets this error.
    Client(ApiError),
    /// The backend is full: a bounce, no failure (contract §3).
    Full,
    /// The backend is not ready yet: down until a probe says otherwise.
    Loading,
    /// The backend failed; 502, 503 and 504 say that another try may help.
    Fault { error: ApiError, status: u16 },
}

/// A failure as read from a body or an error event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendFailure {
    pub status: u16,
    pub message: String,
    pub param: Option<String>,
    /// `code` and `type`, where they are words.
    pub words: String,
}

/// How the engines say that a prompt does not fit (research/compat.md §4, compat-tgi.md).
const OVERFLOW: [&str; 9] = [
    "context_length_exceeded",
    "exceed_context_size",
    "context length",
    "context size",
    "context window",
    "max_seq_len",
    "`max_new_tokens` must be <=",
    "`inputs` must have less than",
    "longer than the maximum",
];

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
        let mut failure = BackendFailure::default();
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

    fn read_member(&mut self, text: &[u8], key: &crate::json::Key<'_>, value: Value) {
        if key.is("message") || key.is("detail") {
            self.set_message(text, value);
        } else if key.is("param") {
            self.param = value.raw_str(text).map(|raw| clip(&unescape(raw)));
        } else if key.is("code") || key.is("type") || key.is("error_type") {
            if let Some(raw) = value.raw_str(text) {
                self.words.push_str(&clip(&unescape(raw)));
                self.words.push(' ');
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

    fn says(&self, phrase: &str) -> bool {
        let phrase = phrase.to_ascii_lowercase();
        self.message.to_ascii_lowercase().contains(&phrase)
            || self.words.to_ascii_lowercase().contains(&phrase)
    }

    /// What the failure means. A backend's 401, 403, 404 and the like are ours, not the client's:
    /// Penstock chose the credentials, the path and the model name.
    pub fn verdict(&self) -> Verdict {
        let client_fault = matches!(self.status, 400 | 413 | 422);
        if (client_fault || self.status >= 500) && OVERFLOW.iter().any(|text| self.says(text)) {
            return Verdict::Client(ApiError::new(Code::ContextLengthExceeded, &self.message));
        }
        let full = self.says("overloaded") || self.says("queue") && self.says("full");
        match self.status {
            429 => Verdict::Full,
            400 | 422 | 503 if full => Verdict::Full,
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
            503 if self.says("loading") => Verdict::Loading,
            status => Verdict::Fault {
                error: ApiError::new(
                    Code::UpstreamError,
                    self.text_or(&format!("the model server answered with status {status}")),
                ),
                status,
            },
        }
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
