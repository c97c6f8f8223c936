//! Where the state of admission lies in the segment.

use std::sync::atomic::{AtomicU32, AtomicU64};

use super::backend::BackendState;
use super::caps::CapLayout;
use super::flow::Flow;
use super::globals::Globals;
use super::row::Row;
use super::sizes::{FLOWS, MAX_TIERS, Sizes, TENANTS};
use super::tenant::TenantState;
use super::tier::{MAX_BACKENDS, TierState};
use super::worker::WorkerState;
use crate::learned::lengths::{CLASSES, Lengths};
use crate::limits::caps::Cap;
use crate::shm::{Layout, Locked, Open};

/// Where each part lies in the segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) globals: Locked<Globals>,
    pub(crate) tiers: Locked<TierState>,
    pub(crate) backends: Locked<BackendState>,
    pub(crate) caps: Locked<Cap>,
    pub(crate) cap_layout: CapLayout,
    pub(crate) workers: Locked<WorkerState>,
    pub(crate) rows: Locked<Row>,
    pub(crate) tenants: Locked<TenantState>,
    pub(crate) flows: Locked<Flow>,
    pub(crate) buckets: Locked<u32>,
    pub(crate) pairs: Locked<u32>,
    pub(crate) lengths: Locked<Lengths>,
    pub(crate) has_notifications: Open<AtomicU32>,
    /// The load of each backend, read without the lock.
    pub(crate) loads: Open<AtomicU64>,
    pub(crate) quarantine_until: Open<AtomicU64>,
}

impl Parts {
    pub(crate) fn add(layout: &mut Layout, sizes: &Sizes) -> Self {
        assert!(sizes.tiers.len() <= MAX_TIERS && sizes.backends.len() <= MAX_BACKENDS);
        assert!(sizes.workers <= 64, "workers are bits of a word");
        let cap_layout = CapLayout::new(sizes);
        let (tiers, backends) = (sizes.tiers.len(), sizes.backends.len());
        Parts {
            globals: layout.locked(1),
            tiers: layout.locked(tiers),
            backends: layout.locked(backends),
            caps: layout.locked(cap_layout.count),
            cap_layout,
            workers: layout.locked(sizes.workers),
            rows: layout.locked(sizes.rows),
            tenants: layout.locked(TENANTS),
            flows: layout.locked(FLOWS),
            buckets: layout.locked(TENANTS + FLOWS),
            pairs: layout.locked(tiers * backends),
            lengths: layout.locked(tiers * CLASSES),
            has_notifications: layout.open(sizes.workers),
            loads: layout.open(backends),
            quarantine_until: layout.open(1),
        }
    }
}
