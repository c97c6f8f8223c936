//! A pull reader that validates while it reads and returns byte ranges.

use super::error::{JsonError, JsonErrorKind, MAX_DEPTH};
use super::value::{Key, Kind, Span, Value, is_white_space};

/// Reads one JSON text from front to back.
///
/// The text must be valid UTF-8: the reader checks its structure, not its encoding.
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
    pub(super) fn fail<T>(&self, kind: JsonErrorKind) -> Result<T, JsonError> {
        let kind = if self.pos >= self.text.len() && kind == JsonErrorKind::Unexpected {
            JsonErrorKind::Ended
        } else {
            kind
        };
        Err(JsonError { at: self.pos.min(self.text.len()), kind })
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    #[inline]
    fn skip_white_space(&mut self) {
        while self.peek().is_some_and(is_white_space) {
            self.pos += 1;
        }
    }

    /// The kind of the next value, by its first byte. Consumes only the white space before it.
    pub fn kind(&mut self) -> Result<Kind, JsonError> {
        self.skip_white_space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            _ => self.fail(JsonErrorKind::Unexpected),
        }
    }

    /// Reads and validates one whole value of any kind.
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
        self.skip_white_space();
        let start = self.pos;
        self.open(b'{')?;
        self.skip_white_space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
        } else {
            loop {
                self.skip_white_space();
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
        self.skip_white_space();
        let start = self.pos;
        self.open(b'[')?;
        self.skip_white_space();
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

    /// Fails if anything but white space follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.skip_white_space();
        if self.pos < self.text.len() { self.fail(JsonErrorKind::Trailing) } else { Ok(()) }
    }

    fn open(&mut self, bracket: u8) -> Result<(), JsonError> {
        if self.peek() != Some(bracket) {
            return self.fail(JsonErrorKind::Unexpected);
        }
        if self.depth >= MAX_DEPTH {
            return self.fail(JsonErrorKind::TooDeep);
        }
        self.depth += 1;
        self.pos += 1;
        Ok(())
    }

    /// Reads what follows a member or element: true if its container ends, false if another one comes.
    fn next_or_close(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_white_space();
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.pos += 1;
                Ok(true)
            }
            _ => self.fail(JsonErrorKind::Unexpected),
        }
    }

    /// Reads a member's name and the colon behind it.
    fn key(&mut self) -> Result<Key<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.fail(JsonErrorKind::Unexpected);
        }
        let start = self.pos;
        let escaped = self.string()?;
        let raw = &self.text[start + 1..self.pos - 1];
        self.skip_white_space();
        if self.peek() != Some(b':') {
            return self.fail(JsonErrorKind::Unexpected);
        }
        self.pos += 1;
        Ok(Key { raw, start, escaped })
    }

    /// Skips a container without recursion: one bit for each open bracket says whether it is an object.
    fn skip_container(&mut self) -> Result<(), JsonError> {
        let base = self.depth;
        let mut objects: u128 = 0;
        loop {
            // A value starts at `pos`.
            if let Some(bracket @ (b'{' | b'[')) = self.peek() {
                self.open(bracket)?;
                let is_object = bracket == b'{';
                objects = objects << 1 | u128::from(is_object);
                self.skip_white_space();
                let close = if is_object { b'}' } else { b']' };
                if self.peek() == Some(close) {
                    self.pos += 1;
                    self.depth -= 1;
                    objects >>= 1;
                } else {
                    if is_object {
                        self.key()?;
                    }
                    self.skip_white_space();
                    continue;
                }
            } else {
                let kind = self.kind()?;
                self.scalar(kind)?;
            }
            // A value has just ended.
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
                self.skip_white_space();
                if in_object {
                    self.key()?;
                    self.skip_white_space();
                }
                break;
            }
        }
    }
}
