//! Unescapes and writes JSON strings.

use std::borrow::Cow;

use crate::decimal::write_hex;
use crate::scan::unescaped_run_without_del;

/// Unescapes the text between the quotes of a string. A lone surrogate becomes U+FFFD.
///
/// The string must have been validated by [`super::Reader`].
pub fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return String::from_utf8_lossy(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        let plain = match raw.get(at + 1) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (character, used) = unicode(&raw[at..]);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += used;
                continue;
            }
            Some(&other) => other,
            None => break,
        };
        out.push(plain);
        at += 2;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The character of a `\uXXXX` escape, or of a surrogate pair of them, and its length in bytes.
fn unicode(raw: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let hex = raw.get(at..at + 6).filter(|text| text.starts_with(b"\\u"))?;
        u32::from_str_radix(std::str::from_utf8(&hex[2..]).ok()?, 16).ok()
    };
    let high = unit(0).unwrap_or(0xFFFD);
    if (0xD800..0xDC00).contains(&high)
        && let Some(low @ 0xDC00..0xE000) = unit(6)
    {
        let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// Appends `text` as a JSON string, quotes included. DEL is escaped too, because terminals act on it.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Nearly always nothing must be escaped, and the text is copied at once.
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let run = unescaped_run_without_del(rest);
        out.extend_from_slice(&rest[..run]);
        let Some(&byte) = rest.get(run) else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u");
                write_hex(u64::from(other), 4, out);
            }
        }
        rest = &rest[run + 1..];
    }
    out.push(b'"');
}
