//! What an error tells a client to do next.

use penstock_core::openai::{ApiError, Code};

/// Codes whose cause may be gone when the request comes again.
const MAY_PASS: &[&str] = &[
    "request_timeout",
    "queue_full",
    "deadline_unmeetable",
    "queue_timeout",
    "upstream_overloaded",
    "internal_error",
    "upstream_connect",
    "upstream_tls",
    "upstream_reset",
    "upstream_truncated",
    "upstream_garbage",
    "upstream_too_large",
    "upstream_error",
    "no_backend",
    "draining",
    "connection_limit",
    "upstream_timeout",
    "upstream_stalled",
    "deadline_exceeded",
];

#[test]
fn what_no_retry_can_mend_says_so() {
    for &code in Code::ALL {
        let mut head = Vec::new();
        ApiError::new(code, "").write_headers(&mut head);
        let says_no = head == b"x-should-retry: false\r\n";
        assert_eq!(says_no, !MAY_PASS.contains(&code.name()), "{}", code.name());
    }
}

#[test]
fn when_to_come_back_is_whole_seconds_and_exact_milliseconds() {
    for (asked, said) in [(1, "1"), (1000, "1"), (1001, "2"), (20_000, "20")] {
        let mut head = Vec::new();
        ApiError::new(Code::QueueFull, "").retry_after_ms(asked).write_headers(&mut head);
        let expected = format!("retry-after: {said}\r\nretry-after-ms: {asked}\r\n");
        assert_eq!(String::from_utf8(head).unwrap(), expected);
    }
}
