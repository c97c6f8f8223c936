//! How a server says that a prompt does not fit, that it has no room, and that it is not ready yet.

use serde::Deserialize;

/// What a server says of a failure, in its own terms.
#[derive(Debug, Clone, Copy)]
pub struct ErrorReport<'a> {
    /// `code`, where it is a string.
    pub code: &'a str,
    /// `type` or `error_type`.
    pub kind: &'a str,
    pub message: &'a str,
    /// It came as an event or with a status that blames the server, so the message as a whole is not
    /// the client's text repeated.
    pub is_server_fault: bool,
}

/// The failures that one server reports in terms of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorPatterns {
    #[expect(dead_code, reason = "says in the file whose patterns they are")]
    server: String,
    #[serde(default)]
    pub(super) overflow: Patterns,
    #[serde(default)]
    pub(super) full: Patterns,
    #[serde(default)]
    pub(super) loading: Patterns,
}

/// The ways in which one failure is reported; each alone is enough.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Patterns {
    /// Values of `code` or `type`, whatever their case.
    pub(super) codes: Vec<String>,
    /// How messages begin; `#` stands for a number. A server that repeats what the client has sent
    /// does so further behind, so these count on any status.
    pub(super) prefixes: Vec<String>,
    /// Whole messages, too short to be told from a client's text: they count only where the server
    /// blames itself.
    pub(super) messages: Vec<String>,
}

impl Patterns {
    pub(super) fn match_report(&self, report: &ErrorReport<'_>) -> bool {
        let is_code = |code: &String| {
            report.code.eq_ignore_ascii_case(code) || report.kind.eq_ignore_ascii_case(code)
        };
        self.codes.iter().any(is_code)
            || self.prefixes.iter().any(|prefix| begins(report.message, prefix))
            || (report.is_server_fault && self.messages.iter().any(|text| text == report.message))
    }
}

/// Whether a message begins with a text in which each `#` stands for a number.
fn begins(message: &str, prefix: &str) -> bool {
    let mut rest = message;
    for (at, part) in prefix.split('#').enumerate() {
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
    use super::{ErrorReport, Patterns, begins};

    #[test]
    fn a_number_is_digits_at_its_place() {
        assert!(begins("request (12 tokens) exceeds", "request (# tokens) exceeds"));
        assert!(begins("limit 7", "limit #"));
        assert!(!begins("request ( tokens) exceeds", "request (# tokens) exceeds"));
        assert!(!begins("say: limit 7", "limit #"));
        assert!(!begins("limi", "limit #"));
    }

    #[test]
    fn each_pattern_is_looked_for_in_its_own_place() {
        let patterns = |text: &str| -> Patterns { serde_json::from_str(text).expect("patterns") };
        let report =
            ErrorReport { code: "c", kind: "k", message: "limit 7 x", is_server_fault: false };
        for (text, matches) in [
            (r#"{"codes": ["C"]}"#, true),
            (r#"{"codes": ["K"]}"#, true),
            (r#"{"codes": ["limit 7 x"]}"#, false),
            (r#"{"prefixes": ["no", "limit #"]}"#, true),
            (r#"{"prefixes": ["c"]}"#, false),
            (r#"{"messages": ["limit 7 x"]}"#, false),
            ("{}", false),
        ] {
            assert_eq!(patterns(text).match_report(&report), matches, "{text}");
        }
        let fault = ErrorReport { is_server_fault: true, ..report };
        assert!(patterns(r#"{"messages": ["limit 7 x"]}"#).match_report(&fault));
        assert!(!patterns(r#"{"messages": ["limit 7"]}"#).match_report(&fault));
    }
}
