//! Where the parts of a request lie. A client says the same with every request of a connection, but for
//! the length of the body; so a head like the one before is compared, not read.

use std::rc::Rc;

use super::hot::{HotHead, number};
use super::terms::Terms;
use crate::json::Span;

/// Longer heads are rare, and would be kept for as long as their connection is.
const KEPT: usize = 1024;

/// A noted header of a request: which of [`Terms::noted`], and where in the head its value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    header: usize,
    value: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Which of the served paths it is for.
    pub(super) path: usize,
    pub(super) head: usize,
    /// Head and body together.
    pub(super) whole: usize,
    /// The digits of the length.
    length: Span,
    notes: Rc<[Note]>,
}

impl Layout {
    /// Reads a whole head. `None`: it is not for the lane.
    pub(super) fn of(terms: &Terms, head: &[u8]) -> Option<Self> {
        let place = |value: &[u8]| {
            let start = value.as_ptr() as usize - head.as_ptr() as usize;
            Span { start, end: start + value.len() }
        };
        let mut notes = Vec::new();
        let hot = HotHead::parse(&terms.lines, head, |name, value| {
            let is_noted = |noted: &String| name.eq_ignore_ascii_case(noted.as_bytes());
            if let Some(header) = terms.noted.iter().position(is_noted) {
                notes.push(Note { header, value: place(value) });
            }
        })?;
        if head.len() > terms.head {
            return None;
        }
        let layout = Layout {
            path: hot.path,
            head: head.len(),
            whole: 0,
            length: place(hot.length),
            notes: notes.into(),
        };
        layout.with_body(terms, hot.body)
    }

    fn with_body(self, terms: &Terms, body: u64) -> Option<Self> {
        // `limits.body` is far below what a `usize` holds.
        (body <= terms.body).then(|| Layout { whole: self.head + body as usize, ..self })
    }

    /// The last value of a noted header in `bytes`, which begin with this head.
    pub(super) fn noted<'a>(&self, bytes: &'a [u8], header: usize) -> Option<&'a str> {
        let note = self.notes.iter().rev().find(|note| note.header == header)?;
        // A hot head is ASCII.
        std::str::from_utf8(note.value.of(bytes)).ok()
    }
}

/// The last head of a connection.
#[derive(Debug, Default)]
pub(super) struct KnownHead(Option<(Vec<u8>, Layout)>);

impl KnownHead {
    pub(super) fn learn(&mut self, head: &[u8], layout: &Layout) {
        self.0 = (head.len() <= KEPT).then(|| (head.to_vec(), layout.clone()));
    }

    /// The layout of the request that `bytes` begin with, if its head is this one, the digits of its
    /// length apart.
    pub(super) fn layout(&self, terms: &Terms, bytes: &[u8]) -> Option<Layout> {
        let (known, layout) = self.0.as_ref()?;
        let head = bytes.get(..known.len())?;
        let Span { start, end } = layout.length;
        if head[..start] != known[..start] || head[end..] != known[end..] {
            return None;
        }
        layout.clone().with_body(terms, number(&head[start..end])?)
    }
}
