//! What all processes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_admission::shm::{Layout, Open, Region, Wakers};
use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{AdaptiveMode, BackendIndex};
use penstock_admission::{Admission, AdmissionParts, BackendLimits, Sizes, TierLimits, TokenLimit};

use crate::backends::{Backends, LIMITS, WORDS};

pub const WORKERS: u16 = 4;
pub const GRACE: Nanos = 100 * MILLISECOND;
const START: Nanos = 1_000 * SECOND;

pub struct Machine {
    pub admission: Admission,
    pub region: Arc<Region>,
    pub wakers: Arc<Wakers>,
    clock: Open<AtomicU64>,
    /// Not 0: no more offers.
    draining: Open<AtomicU64>,
    backends: Open<AtomicU64>,
}

impl Machine {
    pub fn new() -> Self {
        let sizes = sizes();
        let mut layout = Layout::new();
        let parts = AdmissionParts::add(&mut layout, &sizes);
        let (clock, draining) = (layout.open(1), layout.open(1));
        let backends = layout.open(WORDS);
        let region = Arc::new(Region::shared(&layout, "penstock-test").expect("memory"));
        let wakers = Arc::new(Wakers::new(usize::from(WORKERS)).expect("descriptors"));
        let admission = Admission::create(region.clone(), parts, wakers.clone(), &sizes, START);
        let machine = Machine { admission, region, wakers, clock, draining, backends };
        machine.set_clock(START);
        machine
    }

    pub fn backends(&self) -> Backends<'_> {
        Backends::new(self.region.open(self.backends))
    }

    pub fn now(&self) -> Nanos {
        self.region.open(self.clock)[0].load(Ordering::SeqCst)
    }

    pub fn set_clock(&self, now: Nanos) {
        self.region.open(self.clock)[0].store(now, Ordering::SeqCst);
    }

    pub fn is_draining(&self) -> bool {
        self.region.open(self.draining)[0].load(Ordering::SeqCst) != 0
    }

    pub fn drain(&self) {
        self.region.open(self.draining)[0].store(1, Ordering::SeqCst);
        self.wakers.wake(u64::MAX);
    }
}

fn sizes() -> Sizes {
    let [first, second, node, thinking, _] = LIMITS.map(|limit| limit as u32);
    let tier = |backends: &[BackendIndex], concurrency| TierLimits {
        concurrency,
        backends: backends.to_vec(),
        queue_requests: 24,
        queue_tokens: 1_000_000,
        queue_bytes: 1_000_000,
        tenant_requests: 24,
        wait: 10 * SECOND,
        first_token: None,
        share: 1,
        priority_weights: [8, 3, 1],
    };
    let backend = |slots| BackendLimits {
        slots,
        node: Some(0),
        prefill: TokenLimit::None,
        kv: TokenLimit::None,
        weight: 1_000,
        abort_grace: GRACE,
        adaptive: AdaptiveMode::Off,
        inter_token: None,
    };
    Sizes {
        rows: 64,
        tiers: vec![tier(&[0, 1], None), tier(&[1], Some(thinking))],
        backends: vec![backend(first), backend(second)],
        nodes: vec![Some(node)],
        workers: usize::from(WORKERS),
    }
}
