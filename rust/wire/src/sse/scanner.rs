//! A scanner of `text/event-stream` that resumes after any byte.
//!
//! The format is WHATWG HTML §9.2.6. Lines end in LF, CRLF or CR; a leading BOM is skipped;
//! comments, `id` and `retry` are swallowed; several `data` lines are joined by LF. One thing is
//! read more leniently than there: an event whose last blank line is missing at the end of the
//! stream still counts, because some servers leave it out.

use std::ops::ControlFlow;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event that carried data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event` field; empty for the default type.
    pub name: &'a [u8],
    pub data: &'a [u8],
}

/// A line or an event went over the limit given to [`SseScanner::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event longer than {limit} bytes")]
pub struct TooLong {
    pub limit: usize,
}

/// Where the data of the event being read stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// No `data` line so far.
    None,
    /// One `data` line, wholly inside the piece being scanned: this range of it.
    Borrowed(usize, usize),
    /// Copied to `held`.
    Held,
}

/// Holds at most one unfinished event, so its memory is bounded by the limit.
#[derive(Debug)]
pub struct SseScanner {
    limit: usize,
    /// The unfinished line of earlier pieces.
    line: Vec<u8>,
    held: Vec<u8>,
    name: Vec<u8>,
    data: Data,
    /// A CR ended the last line, so an LF that follows belongs to it.
    after_cr: bool,
    /// Bytes of a possible BOM seen so far; past its length once decided.
    bom: usize,
}

impl SseScanner {
    /// `limit`: most bytes of one event, and of one line.
    pub fn new(limit: usize) -> Self {
        SseScanner {
            limit,
            line: Vec::new(),
            held: Vec::new(),
            name: Vec::new(),
            data: Data::None,
            after_cr: false,
            bom: 0,
        }
    }

    /// Scans one piece. `visit` sees each event that it completes, borrowed from the piece where
    /// possible; `Break` stops the scan, and the rest of the piece is dropped.
    pub fn feed(
        &mut self,
        piece: &[u8],
        mut visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TooLong> {
        let mut at = self.skip_bom(piece);
        if self.after_cr && at < piece.len() {
            self.after_cr = false;
            if piece[at] == b'\n' {
                at += 1;
            }
        }
        while let Some(length) = memchr::memchr2(b'\n', b'\r', &piece[at..]) {
            let end = at + length;
            let flow = if self.line.is_empty() {
                self.take_line(piece, at, end, &mut visit)?
            } else {
                self.grow_line(&piece[at..end])?;
                let line = std::mem::take(&mut self.line);
                let flow = self.take_copied_line(piece, &line, &mut visit)?;
                self.line = line;
                self.line.clear();
                flow
            };
            at = end + 1;
            if piece[end] == b'\r' {
                match piece.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        self.hold(piece)?;
        self.grow_line(&piece[at..])?;
        Ok(ControlFlow::Continue(()))
    }

    /// The stream has ended cleanly: an unfinished last line and event count as finished.
    pub fn finish(
        &mut self,
        mut visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TooLong> {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            if self.take_copied_line(&[], &line, &mut visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(self.dispatch(&[], &mut visit))
    }

    /// Whether bytes of an unfinished event are held.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && self.data == Data::None
    }

    fn skip_bom(&mut self, piece: &[u8]) -> usize {
        let mut at = 0;
        while self.bom < BOM.len() && at < piece.len() {
            if piece[at] != BOM[self.bom] {
                // Not a BOM after all: what looked like one was the start of a line.
                self.line.extend_from_slice(&BOM[..self.bom]);
                self.bom = BOM.len();
                return at;
            }
            self.bom += 1;
            at += 1;
        }
        at
    }

    fn grow_line(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + part.len() > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// One whole line that lies in the piece.
    fn take_line(
        &mut self,
        piece: &[u8],
        start: usize,
        end: usize,
        visit: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TooLong> {
        if start == end {
            return Ok(self.dispatch(piece, visit));
        }
        if end - start > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        let line = &piece[start..end];
        if self.data == Data::None
            && let Some(value) = data_value(line)
        {
            self.data = Data::Borrowed(end - value.len(), end);
            return Ok(ControlFlow::Continue(()));
        }
        self.field(piece, line)?;
        Ok(ControlFlow::Continue(()))
    }

    /// One whole line that was put together from several pieces.
    fn take_copied_line(
        &mut self,
        piece: &[u8],
        line: &[u8],
        visit: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TooLong> {
        if line.is_empty() {
            return Ok(self.dispatch(piece, visit));
        }
        self.field(piece, line)?;
        Ok(ControlFlow::Continue(()))
    }

    fn field(&mut self, piece: &[u8], line: &[u8]) -> Result<(), TooLong> {
        if let Some(value) = data_value(line) {
            self.hold(piece)?;
            if self.data == Data::Held {
                self.held.push(b'\n');
            }
            if self.held.len() + value.len() > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            self.held.extend_from_slice(value);
            self.data = Data::Held;
        } else if let Some(value) = field_value(line, b"event") {
            self.name.clear();
            self.name.extend_from_slice(value);
        }
        Ok(())
    }

    /// Copies data that is still borrowed from the piece, which is about to go.
    fn hold(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        if let Data::Borrowed(start, end) = self.data {
            if end - start > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            self.held.clear();
            self.held.extend_from_slice(&piece[start..end]);
            self.data = Data::Held;
        }
        Ok(())
    }

    /// A blank line: the event is complete, if it had any data.
    fn dispatch(
        &mut self,
        piece: &[u8],
        visit: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let flow = match self.data {
            Data::None => ControlFlow::Continue(()),
            Data::Borrowed(start, end) => {
                visit(Event { name: &self.name, data: &piece[start..end] })
            }
            Data::Held => visit(Event { name: &self.name, data: &self.held }),
        };
        self.data = Data::None;
        self.held.clear();
        self.name.clear();
        flow
    }
}

/// The value of a line if its field is `data`.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    field_value(line, b"data")
}

/// The value of a line if its field is `name`; one leading space is not part of it.
fn field_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}
