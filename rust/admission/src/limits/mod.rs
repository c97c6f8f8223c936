//! What limits how much may run at once.

pub(crate) mod adaptive;
pub(crate) mod caps;
pub(crate) mod tokens;
