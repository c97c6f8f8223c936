//! A limiter to measure, and requests for it.

use std::sync::Arc;

use penstock_admission::AdaptiveMode;
use penstock_admission::shm::{Layout, Region, Wakers, monotonic};
use penstock_admission::time::SECOND;
use penstock_admission::{
    Admission, AdmissionParts, BackendLimits, Candidates, Offer, Owner, Priority, Sizes, Tenant,
    TierLimits, TokenLimit,
};

/// Rows of four workers with 10,000 connections each, as `serve` makes them.
const ROWS: usize = 44_000;

/// One tier on `backends` backends of `slots` slots, all limits in force.
pub(crate) fn sizes(backends: u16, slots: u32, workers: usize) -> Sizes {
    let tier = TierLimits {
        concurrency: Some(1 << 20),
        backends: (0..backends).collect(),
        queue_requests: 100_000,
        queue_tokens: u64::MAX,
        queue_bytes: u64::MAX,
        tenant_requests: 100_000,
        wait: 3600 * SECOND,
        first_token: Some(3600 * SECOND),
        share: 1,
        priority_weights: [8, 3, 1],
    };
    let backend = BackendLimits {
        slots,
        node: Some(0),
        prefill: TokenLimit::Tokens(1 << 30),
        kv: TokenLimit::Tokens(1 << 40),
        weight: 1000,
        abort_grace: SECOND / 4,
        adaptive: AdaptiveMode::Observe,
        inter_token: Some(SECOND / 10),
    };
    Sizes {
        rows: ROWS,
        tiers: vec![tier],
        backends: vec![backend; usize::from(backends)],
        nodes: vec![Some(1 << 20)],
        workers,
    }
}

/// The limiter in memory that forked processes share.
pub(crate) fn shared(sizes: &Sizes) -> Admission {
    let mut layout = Layout::new();
    let parts = AdmissionParts::add(&mut layout, sizes);
    let region = Arc::new(Region::shared(&layout, "penstock-bench").expect("there is memory"));
    let wakers = Arc::new(Wakers::new(sizes.workers).expect("there are descriptors"));
    Admission::create(region, parts, wakers, sizes, monotonic())
}

pub(crate) fn offer(worker: u16, backends: u16) -> Offer {
    Offer {
        owner: Owner { worker, generation: 0 },
        tier: 0,
        tenant: Tenant::UNKNOWN,
        priority: Priority::Normal,
        slots: 1,
        prompt: 500,
        max_tokens: Some(256),
        tools: false,
        streams: true,
        bytes: 2000,
        candidates: Candidates::cold(0..backends),
    }
}
