//! Recognises three errors of a server: prompt too long, server full, model still loading.

use serde::Deserialize;

/// The parts of a server's error that patterns are matched against.
#[derive(Debug, Clone, Copy)]
pub struct ErrorReport<'a> {
    /// `code`, where it is a string.
    pub code: &'a str,
    /// `type` or `error_type`.
    pub kind: &'a str,
    pub message: &'a str,
    /// It came in an event or with a 5xx, so the message is the server's own and not an echo of the client's
    /// text.
    pub is_server_fault: bool,
}

/// The patterns of one server's errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorPatterns {
    #[expect(dead_code, reason = "names the server, for readers of the file")]
    server: String,
    #[serde(default)]
    pub(super) overflow: Patterns,
    #[serde(default)]
    pub(super) full: Patterns,
    #[serde(default)]
    pub(super) loading: Patterns,
}

/// Patterns for one kind of failure; any match is enough.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Patterns {
    /// Values of `code` or `type`; case is ignored.
    pub(super) codes: Vec<String>,
    /// Beginnings of messages; `#` stands for a number. Matched on any status: servers that echo the client's
    /// text do so later in the message, never at its beginning.
    pub(super) prefixes: Vec<String>,
    /// Whole messages. They are short enough that a client could have sent them, so they are matched only
    /// if the server reports a fault of its own.
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

/// Whether a message begins with `prefix`, in which each `#` stands for a number.
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
