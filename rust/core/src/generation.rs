//! Everything that is built from one configuration.

use crate::routing::Table;

/// One configuration, as requests use it. A request keeps the generation that it began with; a reload makes a new
/// one for the requests that follow.
#[derive(Debug)]
pub struct Generation {
    /// Counts up with each accepted configuration, from 1.
    pub number: u32,
    pub table: Table,
}

impl Generation {
    pub fn first(table: Table) -> Self {
        Generation { number: 1, table }
    }
}
