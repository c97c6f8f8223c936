//! Strings, numbers and literals: the innermost part of reading.

use super::fault::{JsonError, JsonFault};
use super::reader::Reader;
use super::value::Kind;
use crate::scan::{WIDE, first_special, long_run, specials, string_run};

/// After so many blocks without anything special, there may be many more.
const LONG: usize = 6;

impl Reader<'_> {
    #[inline]
    pub(super) fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
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
        let escaped = self.inside()?;
        match self.peek() {
            Some(b'"') => {
                self.pos += 1;
                Ok(escaped)
            }
            Some(_) => self.fail(JsonFault::ControlCharacter),
            None => self.fail(JsonFault::Ended),
        }
    }

    /// Reads on within a string up to the first byte that ends it, rightly or not; true if there was an
    /// escape.
    fn inside(&mut self) -> Result<bool, JsonError> {
        let mut escaped = false;
        let mut plain = 0;
        while let Some(block) = self.text[self.pos..].first_chunk::<WIDE>() {
            let start = self.pos;
            let mut found = specials(block);
            plain = if found == 0 { plain + 1 } else { 0 };
            self.pos += WIDE;
            while found != 0 {
                let at = found.trailing_zeros() as usize;
                if block[at] != b'\\' {
                    self.pos = start + at;
                    return Ok(escaped);
                }
                escaped = true;
                let behind = if self.text.get(start + at + 1).is_some_and(|&byte| is_simple(byte)) {
                    start + at + 2
                } else {
                    self.escapes(start + at)?
                };
                // An escape's own bytes end nothing.
                found &= u64::MAX.checked_shl((behind - start) as u32).unwrap_or(0);
                self.pos = self.pos.max(behind);
            }
            if plain == LONG {
                self.pos += long_run(&self.text[self.pos..]);
                plain = 0;
            }
        }
        loop {
            self.pos += string_run(&self.text[self.pos..]);
            if self.peek() != Some(b'\\') {
                return Ok(escaped);
            }
            escaped = true;
            self.pos = self.escapes(self.pos)?;
        }
    }

    /// Reads the escapes that begin at `start`: where there is one, there are often more. Returns where
    /// they end.
    fn escapes(&mut self, start: usize) -> Result<usize, JsonError> {
        let mut rest = &self.text[start..];
        let fault = loop {
            rest = match rest {
                [b'\\', b'u', a, b, c, d, rest @ ..] => {
                    if [a, b, c, d].into_iter().any(|digit| !digit.is_ascii_hexdigit()) {
                        break Some(JsonFault::BadEscape);
                    }
                    rest
                }
                [b'\\', byte, rest @ ..] if is_simple(*byte) => rest,
                [b'\\'] | [b'\\', b'u', ..] => {
                    rest = &[];
                    break Some(JsonFault::Ended);
                }
                [b'\\', ..] => break Some(JsonFault::BadEscape),
                _ => break None,
            }
        };
        let end = self.text.len() - rest.len();
        let Some(fault) = fault else { return Ok(end) };
        self.pos = end;
        self.fail(fault)
    }
}

/// Whether a backslash and this byte are a whole escape (RFC 8259 §7).
#[inline]
fn is_simple(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

/// Whether a text may stand between the quotes of a JSON string. It must be valid UTF-8 already.
pub fn is_inside_of_string(text: &[u8]) -> bool {
    let mut reader = Reader::new(text);
    reader.inside().is_ok() && reader.pos == text.len()
}
