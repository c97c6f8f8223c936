//! The members of one object of an answer that is being assembled.

use penstock_wire::json::{JsonError, Key, Kind, Reader, Value};

/// Maximum number of members of one object; further ones are dropped. Lookup is linear, so without a limit
/// one huge chunk could block the worker.
const MOST: usize = 64;

#[derive(Debug, Default)]
struct Member {
    /// As received, quotes included.
    key: Vec<u8>,
    /// As JSON, without the closing bracket or quote of a value that still grows.
    value: Vec<u8>,
    close: Option<u8>,
}

impl Member {
    fn replace(&mut self, value: &[u8], size: &mut usize) {
        *size -= self.value.len();
        self.value.clear();
        self.close = None;
        self.extend(value, size);
    }

    fn extend(&mut self, more: &[u8], size: &mut usize) {
        *size += more.len();
        self.value.extend_from_slice(more);
    }

    /// Makes the value a string or array that can be appended to. Returns true if it was one already.
    fn open(&mut self, bracket: u8, close: u8, size: &mut usize) -> bool {
        if self.close == Some(close) {
            return true;
        }
        self.replace(&[bracket], size);
        self.close = Some(close);
        false
    }

    fn is_blank(&self) -> bool {
        matches!(&*self.value, b"" | b"null" | b"\"\"" | b"\"" | b"[")
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value);
        out.extend(self.close);
    }
}

/// Members in the order of their first appearance. All texts are raw JSON, keys include their quotes;
/// `size` counts the bytes that are kept.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<Member>);

impl Members {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, key: &[u8]) -> Option<&Member> {
        self.0.iter().find(|member| member.key == key)
    }

    fn entry(&mut self, key: &[u8], size: &mut usize) -> Option<&mut Member> {
        let at = match self.0.iter().position(|member| member.key == key) {
            Some(at) => at,
            None if self.0.len() >= MOST => return None,
            None => {
                *size += key.len();
                self.0.push(Member { key: key.to_vec(), ..Member::default() });
                self.0.len() - 1
            }
        };
        self.0.get_mut(at)
    }

    /// Keeps the last value; null does not replace a value.
    pub(crate) fn set(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        if let Some(member) = self.entry(key, size)
            && (value.kind != Kind::Null || member.value.is_empty())
        {
            member.replace(value.span.of(text), size);
        }
    }

    /// Keeps the first value that is neither null nor empty.
    pub(crate) fn set_once(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        if let Some(member) = self.entry(key, size)
            && member.is_blank()
        {
            member.replace(value.span.of(text), size);
        }
    }

    /// Joins strings, and arrays. Escapes are not decoded, so a surrogate pair that was split between two chunks is
    /// complete again.
    pub(crate) fn append(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        let Some(raw) = value.raw_str(text) else {
            return self.append_array(key, value, text, size);
        };
        if let Some(member) = self.entry(key, size) {
            member.open(b'"', b'"', size);
            member.extend(raw, size);
        }
    }

    /// Joins arrays; of other values the last counts.
    pub(crate) fn append_array(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        if value.kind != Kind::Array {
            return self.set(key, value, text, size);
        }
        let Some(member) = self.entry(key, size) else { return };
        member.open(b'[', b']', size);
        if value.is_empty(text) {
            return;
        }
        if member.value.len() > 1 {
            member.extend(b",", size);
        }
        let array = value.span.of(text);
        member.extend(&array[1..array.len() - 1], size);
    }

    /// Appends the value of a member unless it is absent or null. Returns whether it was appended.
    pub(crate) fn write_value(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        let found = self.find(key).filter(|member| member.value != b"null");
        if let Some(member) = found {
            member.write_value(out);
        }
        found.is_some()
    }

    /// Whether a member is neither null nor empty.
    pub(crate) fn has_value(&self, key: &[u8]) -> bool {
        self.find(key).is_some_and(|member| !member.is_blank())
    }

    /// Whether a member is present and differs from this string (quotes included).
    pub(crate) fn differs(&self, key: &[u8], string: &[u8]) -> bool {
        self.find(key).is_some_and(|member| !member.is_blank() && member.value != string)
    }

    /// Appends all members except `skip` to an object that was begun in `out`.
    pub(crate) fn write(&self, skip: &[&[u8]], out: &mut Vec<u8>) {
        for member in self.0.iter().filter(|member| !skip.contains(&&*member.key)) {
            separate(out);
            out.extend_from_slice(&member.key);
            out.push(b':');
            member.write_value(out);
        }
    }
}

/// Appends a comma, unless the object in `out` has no member yet: then `out` ends with `{`, which no value
/// does.
pub(crate) fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

/// Visits the members of an object that was validated before.
pub(crate) fn each_member<'a>(text: &'a [u8], mut visit: impl FnMut(Key<'a>, Value)) {
    let _ = Reader::new(text).object(|reader, key| {
        let value = reader.value()?;
        visit(key, value);
        Ok::<(), JsonError>(())
    });
}

/// The raw key, quotes included.
pub(crate) fn quoted<'a>(key: &Key<'_>, text: &'a [u8]) -> &'a [u8] {
    &text[key.start..key.start + key.raw.len() + 2]
}
