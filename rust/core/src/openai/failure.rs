//! Parses the error objects of model servers, in all their shapes, and classifies them.

use penstock_wire::json::{JsonError, Kind, Reader, Value, unescape};

use super::error::{ApiError, Code};
use crate::profile::{ErrorReport, Profile};

/// Bytes of a backend's error message that are passed on at most.
const MAX_MESSAGE: usize = 512;

/// What a reported failure means for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request is at fault; the client gets this error.
    Client(ApiError),
    /// The backend is full: the request goes back into the queue.
    Full,
    /// The backend is not ready yet; it counts as down until a probe succeeds.
    Loading,
    /// The backend failed. With 502, 503 and 504 a retry may help.
    Fault { error: ApiError, status: u16 },
    /// A proxy in front of the backend reports that the backend is unavailable.
    Unavailable { error: ApiError, status: u16 },
}

/// A failure as read from a body or an error event.
///
/// It is classified by status, code and type. The message counts only through the patterns of a profile:
/// engines echo what the client sent, so words in a message may be the client's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendFailure {
    pub status: u16,
    pub message: String,
    pub param: Option<String>,
    /// `code`, if it is a string.
    pub code: String,
    /// `type` or `error_type`.
    pub kind: String,
    /// It came in an event of a stream or in a body on status 200, so its status is the one that it names itself.
    pub in_event: bool,
    /// It is JSON with one of the keys of a model server's error, so it does not come from a proxy.
    pub is_reported: bool,
}

impl BackendFailure {
    /// Reads the body of a response with an error status.
    pub fn of_response(status: u16, body: &[u8]) -> Self {
        let mut failure = BackendFailure { status, ..BackendFailure::default() };
        if failure.read_json(body).is_err() || failure.message.is_empty() {
            failure.message = clip(&String::from_utf8_lossy(body));
        }
        failure
    }

    /// Reads the value of `error` in an event or in a body on status 200. If it names no error status, it
    /// counts as a 500.
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

    fn report(&self) -> ErrorReport<'_> {
        ErrorReport {
            code: &self.code,
            kind: &self.kind,
            message: &self.message,
            is_server_fault: self.in_event || self.status >= 500,
        }
    }

    /// Classifies the failure for a backend of this profile. `says_when`: the response had `retry-after`. A
    /// backend's 401, 403, 404 and similar are faults of the gateway's configuration, not of the client:
    /// Penstock chose the credentials, the path and the model name.
    pub fn verdict(&self, profile: &Profile, says_when: bool) -> Verdict {
        let report = self.report();
        let may_be_overflow = matches!(self.status, 400 | 413 | 422) || self.status >= 500;
        if may_be_overflow && profile.is_overflow(&report) {
            return Verdict::Client(ApiError::new(Code::ContextLengthExceeded, &self.message));
        }
        if self.status == 503 && profile.is_loading(&report) {
            return Verdict::Loading;
        }
        if profile.is_full(&report) {
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

#[cfg(test)]
mod tests;
