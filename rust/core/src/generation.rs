//! Everything built from one version of the configuration.

use crate::routing::Table;

/// One version of the configuration, as requests use it. A request keeps the generation that it started with; a
/// reload makes a new one for later requests.
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
