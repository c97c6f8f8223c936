//! Values and keys, as byte ranges of the text.

use std::borrow::Cow;

use super::text::unescape;

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
    /// The kind in the words of error messages.
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
    /// The text between the quotes of a string, not unescaped.
    pub fn raw_str<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (self.kind == Kind::String).then(|| &text[self.span.start + 1..self.span.end - 1])
    }

    /// True for `""`, `[]` and `{}` (white space inside allowed) and for null.
    pub fn is_empty(&self, text: &[u8]) -> bool {
        match self.kind {
            Kind::Null => true,
            Kind::String => self.span.len() == 2,
            Kind::Object | Kind::Array => {
                text[self.span.start + 1..self.span.end - 1].iter().all(|&b| is_white_space(b))
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

/// A member's name as it is written in the text.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The text between the quotes, not unescaped.
    pub raw: &'a [u8],
    /// The position of the opening quote.
    pub start: usize,
    /// Whether it contains an escape.
    pub escaped: bool,
}

impl<'a> Key<'a> {
    /// The name, unescaped.
    #[inline]
    pub fn name(&self) -> Cow<'a, [u8]> {
        if self.escaped {
            Cow::Owned(unescape(self.raw).into_owned().into_bytes())
        } else {
            Cow::Borrowed(self.raw)
        }
    }

    /// Whether the unescaped name is `name`.
    pub fn is(&self, name: &str) -> bool {
        *self.name() == *name.as_bytes()
    }
}

/// What may stand between tokens (RFC 8259 §2).
#[inline]
pub(super) fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}
