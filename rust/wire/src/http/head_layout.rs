//! Where the parts of a request lie in its bytes.

use std::rc::Rc;

use super::decoder_config::DecoderConfig;
use super::request_head::RequestHead;
use crate::json::Span;

/// A captured header: its index in [`DecoderConfig::captured`], and where in the head its value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Capture {
    header: usize,
    value: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadLayout {
    /// Which of the served paths it is for.
    pub(super) path: usize,
    /// Bytes of the head.
    pub(super) head: usize,
    /// Bytes of head and body together.
    pub(super) total: usize,
    /// Where the digits of `content-length` lie.
    pub(super) length_digits: Span,
    captures: Rc<[Capture]>,
}

impl HeadLayout {
    /// Parses a whole head. `None`: the decoder does not support it.
    pub(super) fn parse(config: &DecoderConfig, bytes: &[u8]) -> Option<Self> {
        let span_of = |value: &[u8]| {
            let start = value.as_ptr() as usize - bytes.as_ptr() as usize;
            Span { start, end: start + value.len() }
        };
        let mut captures = Vec::new();
        let head = RequestHead::parse(&config.lines, bytes, |name, value| {
            let is_captured = |captured: &String| name.eq_ignore_ascii_case(captured.as_bytes());
            if let Some(header) = config.captured.iter().position(is_captured) {
                captures.push(Capture { header, value: span_of(value) });
            }
        })?;
        if bytes.len() > config.max_head {
            return None;
        }
        let layout = HeadLayout {
            path: head.path,
            head: bytes.len(),
            total: 0,
            length_digits: span_of(head.length_digits),
            captures: captures.into(),
        };
        layout.with_body(config, head.body)
    }

    /// The same head before a body of another length. `None`: the body is too long.
    pub(super) fn with_body(self, config: &DecoderConfig, body: u64) -> Option<Self> {
        // `max_body` is far below what a `usize` holds.
        (body <= config.max_body).then(|| HeadLayout { total: self.head + body as usize, ..self })
    }

    /// The last value of a captured header in `bytes`, which begin with this head.
    pub(super) fn captured<'a>(&self, bytes: &'a [u8], header: usize) -> Option<&'a str> {
        let capture = self.captures.iter().rev().find(|capture| capture.header == header)?;
        // A head that was parsed is ASCII.
        std::str::from_utf8(capture.value.of(bytes)).ok()
    }
}
