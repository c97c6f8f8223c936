//! The members of one object of an assembled answer, while the chunks that make it still come.

use penstock_wire::json::{JsonError, Key, Kind, Reader, Value};

/// So many members one object may gather; further ones are left out. Each is looked for among those
/// before it, so without a bound a huge chunk could hold the worker up.
const MOST: usize = 64;

#[derive(Debug, Default)]
struct Member {
    /// As it came, quotes included.
    key: Vec<u8>,
    /// As JSON, but for the bracket or quote that closes what still grows.
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

    /// Makes sure that what is there is a string or array that grows. True: it was one before.
    fn open(&mut self, bracket: u8, close: u8, size: &mut usize) -> bool {
        if self.close == Some(close) {
            return true;
        }
        self.replace(&[bracket], size);
        self.close = Some(close);
        false
    }

    fn says_nothing(&self) -> bool {
        matches!(&*self.value, b"" | b"null" | b"\"\"" | b"\"" | b"[")
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value);
        out.extend(self.close);
    }
}

/// Members in the order in which they first came. Texts are JSON throughout, keys with their quotes;
/// `size` counts the bytes that are held.
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

    /// The last value counts, but null takes nothing back.
    pub(crate) fn set(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        if let Some(member) = self.entry(key, size)
            && (value.kind != Kind::Null || member.value.is_empty())
        {
            member.replace(value.span.of(text), size);
        }
    }

    /// The first value that says something counts.
    pub(crate) fn keep(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        if let Some(member) = self.entry(key, size)
            && member.says_nothing()
        {
            member.replace(value.span.of(text), size);
        }
    }

    /// Strings are joined, and so are arrays. Their escapes stay as they are, so halves of one character meet again.
    pub(crate) fn say(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
        let Some(raw) = value.raw_str(text) else { return self.list(key, value, text, size) };
        if let Some(member) = self.entry(key, size) {
            member.open(b'"', b'"', size);
            member.extend(raw, size);
        }
    }

    /// Arrays are joined.
    pub(crate) fn list(&mut self, key: &[u8], value: Value, text: &[u8], size: &mut usize) {
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

    /// The value of a member that is there and not null; a string or array may be empty.
    pub(crate) fn write_value(&self, key: &[u8], out: &mut Vec<u8>) -> bool {
        let found = self.find(key).filter(|member| member.value != b"null");
        if let Some(member) = found {
            member.write_value(out);
        }
        found.is_some()
    }

    /// Whether a member is neither null nor empty.
    pub(crate) fn says(&self, key: &[u8]) -> bool {
        self.find(key).is_some_and(|member| !member.says_nothing())
    }

    /// Whether a member is there, and is another string than this one (quotes included).
    pub(crate) fn differs(&self, key: &[u8], string: &[u8]) -> bool {
        self.find(key).is_some_and(|member| !member.says_nothing() && member.value != string)
    }

    /// Appends all members but `skip` to an object whose beginning stands in `out`.
    pub(crate) fn write(&self, skip: &[&[u8]], out: &mut Vec<u8>) {
        for member in self.0.iter().filter(|member| !skip.contains(&&*member.key)) {
            separate(out);
            out.extend_from_slice(&member.key);
            out.push(b':');
            member.write_value(out);
        }
    }
}

/// A comma, unless the object whose members stand in `out` has just begun: no value ends in a brace
/// that opens.
pub(crate) fn separate(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

/// Visits the members of an object that is known to be valid.
pub(crate) fn each_member<'a>(text: &'a [u8], mut visit: impl FnMut(Key<'a>, Value)) {
    let _ = Reader::new(text).object(|reader, key| {
        let value = reader.value()?;
        visit(key, value);
        Ok::<(), JsonError>(())
    });
}

/// A key as it stands in the text, quotes included.
pub(crate) fn quoted<'a>(key: &Key<'_>, text: &'a [u8]) -> &'a [u8] {
    &text[key.start..key.start + key.raw.len() + 2]
}
