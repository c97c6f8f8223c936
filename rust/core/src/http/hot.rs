//! The head of a client's request, as far as the lane serves it (design §1).
//!
//! Whatever is unusual in any way is left to aiohttp with its bytes as they came. So nothing here is
//! lenient and nothing is refused: a head is understood in full, or not touched.

use memchr::{memchr_iter, memmem};

/// The only request line so far.
const LINE: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\n";
const END: &[u8] = b"\r\n\r\n";
/// More headers than this are unusual.
const HEADERS: usize = 64;
/// What changes how a message is framed, or who speaks next: none of it is for the lane.
const UNUSUAL: [&str; 6] =
    ["transfer-encoding", "expect", "upgrade", "content-encoding", "trailer", "te"];

/// Whether what has come so far may become a hot request.
pub fn may_be_hot(bytes: &[u8]) -> bool {
    let known = bytes.len().min(LINE.len());
    bytes[..known] == LINE[..known]
}

/// Where the head ends, its blank line included; `searched`: bytes that were looked at before.
pub fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(END.len() - 1).min(bytes.len());
    memmem::find(&bytes[from..], END).map(|at| from + at + END.len())
}

/// A request that the lane serves: a whole JSON body of known length, and a connection that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HotHead {
    /// Bytes of the body.
    pub body: u64,
}

impl HotHead {
    /// Reads a head that [`head_end`] has found, and calls `visit` with each header that does not
    /// concern the framing, in their order. `None`: it is not for the lane, whatever was visited.
    pub fn parse<'a>(head: &'a [u8], mut visit: impl FnMut(&'a str, &'a [u8])) -> Option<HotHead> {
        // httparse takes a bare LF for the end of a line (RFC 9112 §2.2 lets it), but a CR only with
        // its LF: so there is no bare LF if there are as many of both.
        let count = |wanted| memchr_iter(wanted, head).count();
        if !(head.starts_with(LINE) && head.is_ascii() && count(b'\r') == count(b'\n')) {
            return None;
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(head) != Ok(httparse::Status::Complete(head.len())) {
            return None;
        }
        let (mut length, mut host, mut json) = (None, None, None);
        for header in request.headers.iter() {
            let (name, value) = (header.name, header.value.trim_ascii());
            if name.eq_ignore_ascii_case("content-length") {
                once(&mut length, number(value)?)?;
            } else if name.eq_ignore_ascii_case("host") {
                once(&mut host, !value.is_empty())?;
            } else if name.eq_ignore_ascii_case("content-type") {
                once(&mut json, is_json(value))?;
            } else if name.eq_ignore_ascii_case("connection") {
                if !value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            } else if UNUSUAL.iter().any(|unusual| name.eq_ignore_ascii_case(unusual)) {
                return None;
            } else {
                visit(name, value);
            }
        }
        let is_known = host == Some(true) && json != Some(false);
        length.filter(|_| is_known).map(|body| HotHead { body })
    }
}

/// Sets what may be said once.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Digits alone, and few enough: no sign, no list (RFC 9110 §8.6).
fn number(value: &[u8]) -> Option<u64> {
    let is_plain = (1..=15).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_plain.then(|| value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn is_json(value: &[u8]) -> bool {
    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
}
