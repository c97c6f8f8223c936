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
    /// Anything else; copied unchanged.
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
    /// Position of the key's opening quote.
    pub start: usize,
    pub value: Value,
}

/// Appends the members that describe the server (`service_tier`, `system_fingerprint`) if they are strings, each
/// followed by a comma.
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

/// The value of the last member of a field, if it is not null.
pub fn find(parts: &[Part], field: Field) -> Option<Value> {
    let found = parts.iter().rev().find(|part| part.field == field)?;
    (found.value.kind != Kind::Null).then_some(found.value)
}
