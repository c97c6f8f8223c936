//! The top-level members that a chunk and a whole answer have in common.

use penstock_wire::json::{Key, Kind, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Id,
    Object,
    Created,
    Model,
    Choices,
    Usage,
    Error,
    SystemFingerprint,
    ServiceTier,
    /// Anything else; copied as it stands.
    Other,
}

impl Field {
    pub fn of(key: &Key<'_>) -> Self {
        match &*key.name() {
            b"id" => Field::Id,
            b"object" => Field::Object,
            b"created" => Field::Created,
            b"model" => Field::Model,
            b"choices" => Field::Choices,
            b"usage" => Field::Usage,
            b"error" => Field::Error,
            b"system_fingerprint" => Field::SystemFingerprint,
            b"service_tier" => Field::ServiceTier,
            _ => Field::Other,
        }
    }
}

/// One top-level member of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub field: Field,
    /// Where the key's opening quote stands.
    pub start: usize,
    pub value: Value,
}

/// Appends what every chunk of one answer says about the server, where a backend says it: members ready to
/// stand in an object, each with a comma behind it.
pub fn write_server(parts: &[Part], text: &[u8], out: &mut Vec<u8>) {
    let members = [
        ("\"service_tier\":", Field::ServiceTier),
        ("\"system_fingerprint\":", Field::SystemFingerprint),
    ];
    for (name, field) in members {
        if let Some(value) = find(parts, field).filter(|value| value.kind == Kind::String) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.span.of(text));
            out.push(b',');
        }
    }
}

/// The last member of a field that is there and not null.
pub fn find(parts: &[Part], field: Field) -> Option<Value> {
    let found = parts.iter().rev().find(|part| part.field == field)?;
    (found.value.kind != Kind::Null).then_some(found.value)
}
