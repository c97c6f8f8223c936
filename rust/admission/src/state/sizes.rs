//! How large the state of admission is: fixed when the segment is made.

use super::backend::BackendLimits;
use super::tier::TierLimits;

/// Most tiers that there can be.
pub(crate) const MAX_TIERS: usize = 64;
/// Named tenants that have a place at once, and two that stand for many: see `lookup`.
pub(crate) const TENANTS: usize = 4096 + 2;
/// Flows: pairs of a tenant and a tier.
pub(crate) const FLOWS: usize = 8192;

/// Everything that is fixed when the limiter is made.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Most requests known at once, queued and running together.
    pub rows: usize,
    pub tiers: Vec<TierLimits>,
    pub backends: Vec<BackendLimits>,
    /// Slots of each GPU node; `None`: no cap.
    pub nodes: Vec<Option<u32>>,
    pub workers: usize,
}
