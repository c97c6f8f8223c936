//! What names a tier or a backend: its place in the configuration.

pub type TierIndex = u16;
pub type BackendIndex = u16;
