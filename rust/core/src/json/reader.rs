//! A pull reader that validates as it goes and hands out byte ranges.

use super::text::unescape;
use crate::scan::string_run;

/// Deepest nesting that is accepted; deeper text is refused, not followed (contract §1).
pub const MAX_DEPTH: u32 = 128;

/// A byte range of the text being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.end]
    }

    #[allow(clippy::len_without_is_empty)] // a JSON value is never empty
    pub fn len(&self) -> usize {
        self.end - self.start
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Kind {
    /// The word for this kind in messages to people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::True | Kind::False => "a boolean",
            Kind::Null => "null",
        }
    }
}

/// One value: what it is and where it lies (a string's range includes its quotes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    pub kind: Kind,
    pub span: Span,
}

impl Value {
    /// The text between the quotes of a string value, escapes untouched.
    pub fn raw_str<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (self.kind == Kind::String).then(|| &text[self.span.start + 1..self.span.end - 1])
    }

    /// True for `""`, `[]` and `{}` (blanks inside allowed) and for null.
    pub fn is_empty(&self, text: &[u8]) -> bool {
        match self.kind {
            Kind::Null => true,
            Kind::String => self.span.len() == 2,
            Kind::Object | Kind::Array => {
                text[self.span.start + 1..self.span.end - 1].iter().all(|&b| is_blank(b))
            }
            _ => false,
        }
    }

    /// A non-negative integer written without fraction or exponent, if it fits.
    pub fn as_u64(&self, text: &[u8]) -> Option<u64> {
        if self.kind != Kind::Number {
            return None;
        }
        let digits = self.span.of(text);
        digits.iter().try_fold(0u64, |sum, &b| {
            let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        })
    }
}

/// A member's name as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Between the quotes, escapes untouched.
    pub raw: &'a [u8],
    /// Where the opening quote stands.
    pub start: usize,
    pub escaped: bool,
}

impl Key<'_> {
    /// Whether this key means `name`, however it is escaped.
    pub fn is(&self, name: &str) -> bool {
        if self.escaped { unescape(self.raw) == name } else { self.raw == name.as_bytes() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("the text ends too early")]
    Ended,
    #[error("unexpected character")]
    Unexpected,
    #[error("bad escape in a string")]
    BadEscape,
    #[error("control character in a string")]
    ControlCharacter,
    #[error("bad number")]
    BadNumber,
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("text after the value")]
    Trailing,
}

/// What is wrong, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct JsonError {
    pub at: usize,
    pub fault: JsonFault,
}

/// Reads one JSON text from front to back.
///
/// The text must be valid UTF-8 already: the reader checks structure, not encoding.
pub struct Reader<'a> {
    text: &'a [u8],
    pos: usize,
    depth: u32,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Reader { text, pos: 0, depth: 0 }
    }

    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    fn fail<T>(&self, fault: JsonFault) -> Result<T, JsonError> {
        let fault = if self.pos >= self.text.len() && fault == JsonFault::Unexpected {
            JsonFault::Ended
        } else {
            fault
        };
        Err(JsonError { at: self.pos.min(self.text.len()), fault })
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

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

    fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => self.string().map(|_| ()),
            Kind::Number => self.number(),
            Kind::True => self.literal(b"true"),
            Kind::False => self.literal(b"false"),
            Kind::Null => self.literal(b"null"),
            Kind::Object | Kind::Array => self.fail(JsonFault::Unexpected),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if self.text[self.pos..].starts_with(word) {
            self.pos += word.len();
            Ok(())
        } else {
            self.fail(JsonFault::Unexpected)
        }
    }

    /// RFC 8259 §6: no leading zero, no bare point, no plus in front.
    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.fail(JsonFault::BadNumber),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail(JsonFault::BadNumber);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == start { self.fail(JsonFault::BadNumber) } else { Ok(()) }
    }

    /// Reads a string; true if it holds an escape.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        self.pos += 1;
        loop {
            self.pos += string_run(&self.text[self.pos..]);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escapes()?;
                }
                Some(_) => return self.fail(JsonFault::ControlCharacter),
                None => return self.fail(JsonFault::Ended),
            }
        }
    }

    /// Reads the escapes that begin here: where there is one, there are often more.
    fn escapes(&mut self) -> Result<(), JsonError> {
        let mut rest = &self.text[self.pos..];
        let fault = loop {
            rest = match rest {
                [b'\\', b'u', a, b, c, d, rest @ ..] => {
                    if [a, b, c, d].into_iter().any(|digit| !digit.is_ascii_hexdigit()) {
                        break Some(JsonFault::BadEscape);
                    }
                    rest
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
                [b'\\'] | [b'\\', b'u', ..] => {
                    rest = &[];
                    break Some(JsonFault::Ended);
                }
                [b'\\', ..] => break Some(JsonFault::BadEscape),
                _ => break None,
            }
        };
        self.pos = self.text.len() - rest.len();
        fault.map_or(Ok(()), |fault| self.fail(fault))
    }
}

/// Whether a text may stand between the quotes of a JSON string. It must be valid UTF-8 already.
pub fn is_inside_of_string(text: &[u8]) -> bool {
    let mut reader = Reader::new(text);
    loop {
        reader.pos += string_run(&text[reader.pos..]);
        match reader.peek() {
            None => return true,
            Some(b'\\') if reader.escapes().is_ok() => {}
            Some(_) => return false,
        }
    }
}
