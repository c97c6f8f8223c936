//! The head of a client's request, as far as the lane serves it.
//!
//! Whatever is unusual in any way is left to aiohttp with its bytes as they came. So nothing here is
//! lenient and nothing is refused: a head is understood in full, or not touched.

use memchr::memmem;

use crate::scan::visible_run;

const END: &[u8] = b"\r\n\r\n";
/// More headers than this are unusual.
const HEADERS: usize = 64;

/// The request lines that are served: a POST to each of some paths.
#[derive(Debug, Clone)]
pub struct RequestLines(Vec<Vec<u8>>);

impl RequestLines {
    pub fn of(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let line = |path: &str| format!("POST {path} HTTP/1.1\r\n").into_bytes();
        RequestLines(paths.into_iter().map(|path| line(path.as_ref())).collect())
    }

    /// Whether what has come so far may become a hot request.
    pub fn may_be_hot(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|line| {
            let known = bytes.len().min(line.len());
            bytes[..known] == line[..known]
        })
    }

    /// Which of the paths a head is for, and what is behind its first line.
    fn split<'a>(&self, head: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let mut lines = self.0.iter().enumerate();
        lines.find_map(|(path, line)| Some((path, head.strip_prefix(&line[..])?)))
    }
}

/// Where the head ends, its blank line included; `searched`: bytes that were looked at before.
pub fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(END.len() - 1).min(bytes.len());
    memmem::find(&bytes[from..], END).map(|at| from + at + END.len())
}

/// A request that the lane serves: a whole JSON body of known length, and a connection that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotHead<'a> {
    /// Which of the served paths it is for.
    pub path: usize,
    /// Bytes of the body.
    pub body: u64,
    /// The digits that say so, where they stand in the head.
    pub length: &'a [u8],
}

/// The headers that say what a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Length,
    Host,
    Type,
    Connection,
    /// It changes how a message is framed, or who speaks next, or says that a browser sends it: none
    /// of it is for the lane.
    Unusual,
}

const KNOWN: [(&[u8], Known); 13] = [
    (b"host", Known::Host),
    (b"content-length", Known::Length),
    (b"content-type", Known::Type),
    (b"connection", Known::Connection),
    // aiohttp's parser takes it for `connection`.
    (b"proxy-connection", Known::Unusual),
    (b"transfer-encoding", Known::Unusual),
    (b"expect", Known::Unusual),
    (b"upgrade", Known::Unusual),
    (b"content-encoding", Known::Unusual),
    (b"trailer", Known::Unusual),
    (b"te", Known::Unusual),
    (b"origin", Known::Unusual),
    (b"sec-fetch-site", Known::Unusual),
];

impl<'a> HotHead<'a> {
    /// Reads a head that [`head_end`] has found, and calls `visit` with each header that does not
    /// concern the framing, in their order. `None`: it is not for the lane, whatever was visited.
    ///
    /// Stricter than RFC 9112 wants a server to be, and in one pass; the tests hold it against
    /// httparse and against a naive reading.
    pub fn parse(
        lines: &RequestLines,
        head: &'a [u8],
        mut visit: impl FnMut(&'a [u8], &'a [u8]),
    ) -> Option<Self> {
        let (path, rest) = lines.split(head)?;
        let mut rest = rest.strip_suffix(b"\r\n")?;
        let (mut length, mut host, mut json) = (None, None, None);
        let mut count = 0;
        while !rest.is_empty() {
            count += 1;
            let (name, value, behind) = field(rest)?;
            rest = behind;
            let known = KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
            match known.map(|&(_, known)| known) {
                None => visit(name, value),
                Some(Known::Length) => {
                    once(&mut length, HotHead { path, body: number(value)?, length: value })?;
                }
                Some(Known::Host) => once(&mut host, is_host(value))?,
                Some(Known::Type) => once(&mut json, is_json(value))?,
                Some(Known::Connection) if value.eq_ignore_ascii_case(b"keep-alive") => {}
                Some(Known::Connection | Known::Unusual) => return None,
            }
        }
        let is_known = count <= HEADERS && host == Some(true) && json != Some(false);
        length.filter(|_| is_known)
    }
}

/// Splits one header line off: its name, its value without the blanks around it, and what is behind
/// its line break (RFC 9112 §5, RFC 9110 §5.5; ASCII only).
fn field(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = text.iter().position(|&byte| !TOKEN[usize::from(byte)])?;
    if colon == 0 || text[colon] != b':' {
        return None;
    }
    let mut end = colon + 1;
    loop {
        end += visible_run(&text[end..]);
        match text.get(end)? {
            b'\t' => end += 1,
            b'\r' if text.get(end + 1) == Some(&b'\n') => break,
            _ => return None,
        }
    }
    Some((&text[..colon], text[colon + 1..end].trim_ascii(), &text[end + 2..]))
}

/// RFC 9110 §5.6.2.
const TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        token[byte] = matches!(
            byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
                | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
        );
        byte += 1;
    }
    token
};

/// The forms that clients send: a name or an address, and perhaps a port (RFC 9110 §7.2). Rarer ones
/// are good too, but not hot.
fn is_host(value: &[u8]) -> bool {
    let colon = value.iter().rposition(|&byte| byte == b':' || byte == b']');
    let (name, port) = match colon {
        Some(at) if value[at] == b':' => (&value[..at], &value[at + 1..]),
        _ => (value, &b""[..]),
    };
    let is_named = match name.strip_prefix(b"[").and_then(|name| name.strip_suffix(b"]")) {
        Some(address) => address.iter().all(|&b| b.is_ascii_hexdigit() || b == b':' || b == b'.'),
        None => name.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    !name.is_empty() && is_named && port.iter().all(u8::is_ascii_digit)
}

/// Sets what may be said once.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Digits alone, and few enough: no sign, no list (RFC 9110 §8.6).
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let is_plain = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_plain.then(|| value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn is_json(value: &[u8]) -> bool {
    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}
