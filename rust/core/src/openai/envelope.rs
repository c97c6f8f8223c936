//! The top-level members that a chunk and a whole answer have in common.

use crate::json::{Key, Kind, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Id,
    Object,
    Created,
    Model,
    Choices,
    Usage,
    Error,
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

/// The last member of a field that is there and not null.
pub fn find(parts: &[Part], field: Field) -> Option<Value> {
    let found = parts.iter().rev().find(|part| part.field == field)?;
    (found.value.kind != Kind::Null).then_some(found.value)
}
