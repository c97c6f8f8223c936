//! The head of a client's request, in the plain form that nearly all clients send.
//!
//! Any other head is unsupported and left to a general HTTP server, with its bytes unchanged. So this parser is strict
//! without refusing anything: it accepts only heads that every HTTP implementation reads alike.

use memchr::memmem;

use crate::scan::printable_run;

const END: &[u8] = b"\r\n\r\n";
/// Most headers of a supported request.
const MAX_HEADERS: usize = 64;

/// The request lines that are supported: a POST to each of some paths.
#[derive(Debug, Clone)]
pub struct RequestLines(Vec<Vec<u8>>);

impl RequestLines {
    pub fn new(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let line = |path: &str| format!("POST {path} HTTP/1.1\r\n").into_bytes();
        RequestLines(paths.into_iter().map(|path| line(path.as_ref())).collect())
    }

    /// Whether `bytes`, the beginning of a request, begin with one of the lines or may still become one.
    pub fn may_match(&self, bytes: &[u8]) -> bool {
        self.0.iter().any(|line| {
            let common = bytes.len().min(line.len());
            bytes[..common] == line[..common]
        })
    }

    /// Splits a head into the index of its path and what follows its first line.
    fn split<'a>(&self, head: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let mut lines = self.0.iter().enumerate();
        lines.find_map(|(path, line)| Some((path, head.strip_prefix(&line[..])?)))
    }
}

/// Where the head ends, its blank line included. `searched`: how many leading bytes an earlier call has searched.
pub fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(END.len() - 1).min(bytes.len());
    memmem::find(&bytes[from..], END).map(|at| from + at + END.len())
}

/// The head of a supported request: a JSON body of known length, on a connection that stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Which of the served paths it is for.
    pub path: usize,
    /// Bytes of the body.
    pub body: u64,
    /// The digits of `content-length`, as a part of the head.
    pub length_digits: &'a [u8],
}

/// The headers that decide whether a request is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    ContentLength,
    Host,
    ContentType,
    Connection,
    /// It changes how the message is framed or who sends next, or a browser sent it (cross-origin rules apply).
    Unsupported,
}

const HEADERS: [(&[u8], Header); 13] = [
    (b"host", Header::Host),
    (b"content-length", Header::ContentLength),
    (b"content-type", Header::ContentType),
    (b"connection", Header::Connection),
    // aiohttp's parser treats it as `connection`.
    (b"proxy-connection", Header::Unsupported),
    (b"transfer-encoding", Header::Unsupported),
    (b"expect", Header::Unsupported),
    (b"upgrade", Header::Unsupported),
    (b"content-encoding", Header::Unsupported),
    (b"trailer", Header::Unsupported),
    (b"te", Header::Unsupported),
    (b"origin", Header::Unsupported),
    (b"sec-fetch-site", Header::Unsupported),
];

impl<'a> RequestHead<'a> {
    /// Parses a head that [`head_end`] has found, and calls `visit` with each header that does not
    /// concern the framing, in their order. `None`: it is unsupported, whatever was visited.
    ///
    /// Stricter than RFC 9112 demands of a server, and in one pass. The tests compare it with httparse and with a
    /// naive parser.
    pub fn parse(
        lines: &RequestLines,
        head: &'a [u8],
        mut visit: impl FnMut(&'a [u8], &'a [u8]),
    ) -> Option<Self> {
        let (path, rest) = lines.split(head)?;
        let mut rest = rest.strip_suffix(b"\r\n")?;
        let (mut parsed, mut host, mut json) = (None, None, None);
        let mut count = 0;
        while !rest.is_empty() {
            count += 1;
            let (name, value, behind) = field(rest)?;
            rest = behind;
            let header = HEADERS.iter().find(|(header, _)| name.eq_ignore_ascii_case(header));
            match header.map(|&(_, header)| header) {
                None => visit(name, value),
                Some(Header::ContentLength) => {
                    let head = RequestHead { path, body: number(value)?, length_digits: value };
                    set_once(&mut parsed, head)?;
                }
                Some(Header::Host) => set_once(&mut host, is_host(value))?,
                Some(Header::ContentType) => set_once(&mut json, is_json(value))?,
                Some(Header::Connection) if value.eq_ignore_ascii_case(b"keep-alive") => {}
                Some(Header::Connection | Header::Unsupported) => return None,
            }
        }
        let is_supported = count <= MAX_HEADERS && host == Some(true) && json != Some(false);
        parsed.filter(|_| is_supported)
    }
}

/// Splits off one header line: its name, its value without surrounding white space, and what follows
/// its line break (RFC 9112 §5, RFC 9110 §5.5; ASCII only).
fn field(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = text.iter().position(|&byte| !TOKEN[usize::from(byte)])?;
    if colon == 0 || text[colon] != b':' {
        return None;
    }
    let mut end = colon + 1;
    loop {
        end += printable_run(&text[end..]);
        match text.get(end)? {
            b'\t' => end += 1,
            b'\r' if text.get(end + 1) == Some(&b'\n') => break,
            _ => return None,
        }
    }
    Some((&text[..colon], text[colon + 1..end].trim_ascii(), &text[end + 2..]))
}

/// The characters of a token, such as a header name (RFC 9110 §5.6.2).
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

/// The usual forms: a name or an address, with or without a port (RFC 9110 §7.2). Rarer valid forms are unsupported.
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

/// Sets the value of a header that may occur once. `None`: it occurred before.
fn set_once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// A number of at most 15 digits; no sign and no list (RFC 9110 §8.6).
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let is_plain = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_plain.then(|| value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn is_json(value: &[u8]) -> bool {
    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}
