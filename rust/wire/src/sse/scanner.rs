//! A scanner of `text/event-stream` that can resume after any byte.
//!
//! The format is WHATWG HTML §9.2.6. Lines end in LF, CRLF or CR; a leading BOM is skipped;
//! comments, `id` and `retry` are ignored; several `data` lines are joined by LF. One deviation:
//! an event at the end of the stream counts without its final blank line, because some servers leave it out.

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

/// Where the data of the current event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// It has no `data` line so far.
    None,
    /// One `data` line that lies wholly in the current piece: its range.
    Borrowed(usize, usize),
    /// Copied to `SseScanner::copied`.
    Copied,
}

/// Its memory is bounded by the limit: it buffers at most one unfinished event.
#[derive(Debug)]
pub struct SseScanner {
    limit: usize,
    /// The bytes of an unfinished line from earlier pieces.
    line: Vec<u8>,
    copied: Vec<u8>,
    name: Vec<u8>,
    data: Data,
    /// The last piece ended with CR. If an LF follows, both are one line end.
    after_cr: bool,
    /// How many bytes of the BOM were seen; its whole length once it is decided whether there is one.
    bom: usize,
}

impl SseScanner {
    /// `limit`: most bytes of one event, and of one line.
    pub fn new(limit: usize) -> Self {
        SseScanner {
            limit,
            line: Vec::new(),
            copied: Vec::new(),
            name: Vec::new(),
            data: Data::None,
            after_cr: false,
            bom: 0,
        }
    }

    /// Scans one piece. `visit` is called with each event that it completes, borrowed from the piece where
    /// possible. If it returns `Break`, the scan stops and the rest of the piece is dropped.
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
        self.copy_data(piece)?;
        self.grow_line(&piece[at..])?;
        Ok(ControlFlow::Continue(()))
    }

    /// The stream has ended: an unfinished last line and event count as finished.
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

    /// Whether no data of an unfinished event is buffered.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && self.data == Data::None
    }

    fn skip_bom(&mut self, piece: &[u8]) -> usize {
        let mut at = 0;
        while self.bom < BOM.len() && at < piece.len() {
            if piece[at] != BOM[self.bom] {
                // Not a BOM: these bytes were the start of a line.
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

    /// Processes one whole line that lies in the piece.
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

    /// Processes one whole line that was put together from several pieces.
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
            self.copy_data(piece)?;
            if self.data == Data::Copied {
                self.copied.push(b'\n');
            }
            if self.copied.len() + value.len() > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            self.copied.extend_from_slice(value);
            self.data = Data::Copied;
        } else if let Some(value) = field_value(line, b"event") {
            self.name.clear();
            self.name.extend_from_slice(value);
        }
        Ok(())
    }

    /// Copies data that lies in the piece, before the piece becomes invalid.
    fn copy_data(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        if let Data::Borrowed(start, end) = self.data {
            if end - start > self.limit {
                return Err(TooLong { limit: self.limit });
            }
            self.copied.clear();
            self.copied.extend_from_slice(&piece[start..end]);
            self.data = Data::Copied;
        }
        Ok(())
    }

    /// Handles a blank line: the event is complete. One without data is dropped.
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
            Data::Copied => visit(Event { name: &self.name, data: &self.copied }),
        };
        self.data = Data::None;
        self.copied.clear();
        self.name.clear();
        flow
    }
}

/// The value of a line if its field is `data`.
fn data_value(line: &[u8]) -> Option<&[u8]> {
    field_value(line, b"data")
}

/// The value of a line if its field is `name`, without one leading space.
fn field_value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}
