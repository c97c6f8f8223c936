//! Reads strings, numbers and literals.

use super::error::{JsonError, JsonErrorKind};
use super::reader::Reader;
use super::value::Kind;
use crate::scan::{WIDE_BLOCK, first_special, long_unescaped_run, special_mask, unescaped_run};

/// After this many blocks without a special byte the string is probably long, and a scanner with a higher start-up
/// cost and a lower cost per byte takes over.
const BLOCKS_OF_LONG_STRING: usize = 6;

impl Reader<'_> {
    #[inline]
    pub(super) fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => self.string().map(|_| ()),
            Kind::Number => self.number(),
            Kind::True => self.literal(b"true"),
            Kind::False => self.literal(b"false"),
            Kind::Null => self.literal(b"null"),
            Kind::Object | Kind::Array => self.fail(JsonErrorKind::Unexpected),
        }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if self.text[self.pos..].starts_with(word) {
            self.pos += word.len();
            Ok(())
        } else {
            self.fail(JsonErrorKind::Unexpected)
        }
    }

    /// RFC 8259 §6: no leading zero, no digits missing at a point, no plus sign in front.
    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.fail(JsonErrorKind::BadNumber),
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
            return self.fail(JsonErrorKind::BadNumber);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == start { self.fail(JsonErrorKind::BadNumber) } else { Ok(()) }
    }

    /// Reads a string. True: it contains an escape.
    #[inline]
    pub(super) fn string(&mut self) -> Result<bool, JsonError> {
        self.pos += 1;
        // Keys and most other strings are short.
        if let Some(block) = self.text[self.pos..].first_chunk()
            && let Some(end) = first_special(block)
            && block[end] == b'"'
        {
            self.pos += end + 1;
            return Ok(false);
        }
        self.rest_of_string()
    }

    #[inline(never)]
    fn rest_of_string(&mut self) -> Result<bool, JsonError> {
        let escaped = self.string_content()?;
        match self.peek() {
            Some(b'"') => {
                self.pos += 1;
                Ok(escaped)
            }
            Some(_) => self.fail(JsonErrorKind::ControlCharacter),
            None => self.fail(JsonErrorKind::Ended),
        }
    }

    /// Reads the content of a string, up to its closing quote or a byte that is not allowed. True: it contains an
    /// escape.
    fn string_content(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        let mut plain = 0;
        while let Some(block) = self.text[self.pos..].first_chunk::<WIDE_BLOCK>() {
            let start = self.pos;
            let mut found = special_mask(block);
            plain = if found == 0 { plain + 1 } else { 0 };
            self.pos += WIDE_BLOCK;
            while found != 0 {
                let at = found.trailing_zeros() as usize;
                if block[at] != b'\\' {
                    self.pos = start + at;
                    return Ok(escaped);
                }
                escaped = true;
                let behind =
                    if self.text.get(start + at + 1).is_some_and(|&byte| is_simple_escape(byte)) {
                        start + at + 2
                    } else {
                        self.escapes(start + at)?
                    };
                // The bytes of an escape do not end the string.
                found &= u64::MAX.checked_shl((behind - start) as u32).unwrap_or(0);
                self.pos = self.pos.max(behind);
            }
            if plain == BLOCKS_OF_LONG_STRING {
                self.pos += long_unescaped_run(&self.text[self.pos..]);
                plain = 0;
            }
        }
        loop {
            self.pos += unescaped_run(&self.text[self.pos..]);
            if self.peek() != Some(b'\\') {
                return Ok(escaped);
            }
            escaped = true;
            self.pos = self.escapes(self.pos)?;
        }
    }

    /// Reads the consecutive escapes that begin at `start`; one is often followed by more. Returns where
    /// they end.
    fn escapes(&mut self, start: usize) -> Result<usize, JsonError> {
        let mut rest = &self.text[start..];
        let error = loop {
            rest = match rest {
                [b'\\', b'u', a, b, c, d, rest @ ..] => {
                    if [a, b, c, d].into_iter().any(|digit| !digit.is_ascii_hexdigit()) {
                        break Some(JsonErrorKind::BadEscape);
                    }
                    rest
                }
                [b'\\', byte, rest @ ..] if is_simple_escape(*byte) => rest,
                [b'\\'] | [b'\\', b'u', ..] => {
                    rest = &[];
                    break Some(JsonErrorKind::Ended);
                }
                [b'\\', ..] => break Some(JsonErrorKind::BadEscape),
                _ => break None,
            }
        };
        let end = self.text.len() - rest.len();
        let Some(error) = error else { return Ok(end) };
        self.pos = end;
        self.fail(error)
    }
}

/// Whether a backslash and this byte are a whole escape (RFC 8259 §7).
#[inline]
fn is_simple_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

/// Whether a text is valid between the quotes of a JSON string. It must be valid UTF-8.
pub fn is_string_content(text: &[u8]) -> bool {
    let mut reader = Reader::new(text);
    reader.string_content().is_ok() && reader.pos == text.len()
}
