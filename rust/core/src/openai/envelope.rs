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

const NAMED: [(&str, Field); 7] = [
    ("id", Field::Id),
    ("object", Field::Object),
    ("created", Field::Created),
    ("model", Field::Model),
    ("choices", Field::Choices),
    ("usage", Field::Usage),
    ("error", Field::Error),
];

impl Field {
    pub fn of(key: &Key<'_>) -> Self {
        NAMED.iter().find(|(name, _)| key.is(name)).map_or(Field::Other, |&(_, field)| field)
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
