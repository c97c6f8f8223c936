//! A pull reader that validates as it goes and hands out byte ranges.

use super::fault::{JsonError, JsonFault, MAX_DEPTH};
use super::value::{Key, Kind, Span, Value, is_blank};

/// Reads one JSON text from front to back.
///
/// The text must be valid UTF-8 already: the reader checks structure, not encoding.
pub struct Reader<'a> {
    pub(super) text: &'a [u8],
    pub(super) pos: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Reader { text, pos: 0, depth: 0 }
    }

    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    #[cold]
    pub(super) fn fail<T>(&self, fault: JsonFault) -> Result<T, JsonError> {
        let fault = if self.pos >= self.text.len() && fault == JsonFault::Unexpected {
            JsonFault::Ended
        } else {
            fault
        };
        Err(JsonError { at: self.pos.min(self.text.len()), fault })
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.pos += 1;
        }
    }

    /// The kind of the next value, from its first byte; nothing is consumed but blanks.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        self.skip_blanks();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => self.fail(JsonFault::Unexpected),
        }
    }

    /// Reads any value whole and checks all of it.
    pub fn value(&mut self) -> Result<Value, JsonError> {
        let kind = self.kind()?;
        let start = self.pos;
        match kind {
            Kind::Object | Kind::Array => self.skip_container()?,
            _ => self.scalar(kind)?,
        }
        Ok(Value { kind, span: Span { start, end: self.pos } })
    }

    /// Visits the members of an object. `visit` must read exactly one value for each key.
    ///
    /// Returns the object's range, both braces included.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, Key<'a>) -> Result<(), E>,
    ) -> Result<Span, E> {
        self.skip_blanks();
        let start = self.pos;
        self.open(b'{')?;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.pos += 1;
        } else {
            loop {
                self.skip_blanks();
                let key = self.key()?;
                visit(self, key)?;
                if self.next_or_close(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Span { start, end: self.pos })
    }

    /// Visits the elements of an array. `visit` must read exactly one value a call.
    pub fn array<E: From<JsonError>>(
        &mut self,
        mut visit: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<Span, E> {
        self.skip_blanks();
        let start = self.pos;
        self.open(b'[')?;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.pos += 1;
        } else {
            let mut index = 0;
            loop {
                visit(self, index)?;
                index += 1;
                if self.next_or_close(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Span { start, end: self.pos })
    }

    /// Requires that only blanks remain.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_blanks();
        if self.pos < self.text.len() { self.fail(JsonFault::Trailing) } else { Ok(()) }
    }

    fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        if self.peek() != Some(bracket) {
            return self.fail(JsonFault::Unexpected);
        }
        if self.depth >= MAX_DEPTH {
            return self.fail(JsonFault::TooDeep);
        }
        self.depth += 1;
        self.pos += 1;
        Ok(())
    }

    /// After a member or element: true if the container closed, false if another follows.
    fn next_or_close(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_blanks();
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.pos += 1;
                Ok(true)
            }
            _ => self.fail(JsonFault::Unexpected),
        }
    }

    /// A member's name and the colon behind it.
    fn key(&mut self) -> Result<Key<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail(JsonFault::Unexpected);
        }
        let start = self.pos;
        let escaped = self.string()?;
        let raw = &self.text[start + 1..self.pos - 1];
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return self.fail(JsonFault::Unexpected);
        }
        self.pos += 1;
        Ok(Key { raw, start, escaped })
    }

    /// Skips a container without recursion: which brackets are open is one bit each.
    fn skip_container(&mut self) -> Result<(), JsonError> {
        let base = self.depth;
        let mut objects: u128 = 0;
        loop {
            // Here a value is due, and it is known to start at `pos`.
            if let Some(bracket @ (b'{' | b'[')) = self.peek() {
                self.open(bracket)?;
                let is_object = bracket == b'{';
                objects = objects << 1 | u128::from(is_object);
                self.skip_blanks();
                let close = if is_object { b'}' } else { b']' };
                if self.peek() == Some(close) {
                    self.pos += 1;
                    self.depth -= 1;
                    objects >>= 1;
                } else {
                    if is_object {
                        self.key()?;
                    }
                    self.skip_blanks();
                    continue;
                }
            } else {
                let kind = self.kind()?;
                self.scalar(kind)?;
            }
            // Here a value has just ended.
            loop {
                if self.depth == base {
                    return Ok(());
                }
                let in_object = objects & 1 == 1;
                if self.next_or_close(if in_object { b'}' } else { b']' })? {
                    self.depth -= 1;
                    objects >>= 1;
                    continue;
                }
                self.skip_blanks();
                if in_object {
                    self.key()?;
                    self.skip_blanks();
                }
                break;
            }
        }
    }
}
