//! The segment that the operations work on, and the requests in it.

use std::sync::Arc;

use penstock_admission::shm::{Layout, Region, Wakers};
use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{AdaptiveMode, BackendIndex, TierIndex};
use penstock_admission::{
    Admission, AdmissionParts, BackendLimits, Candidates, Decision, Notification, Offer, Owner,
    Priority, Sizes, Tenant, Ticket, TierLimits, TokenLimit,
};

use crate::memory::Memory;

/// When the fixture begins.
pub const START: Nanos = 1_000 * SECOND;
/// When the operation takes place: late enough that waiting rows have reservations by then.
pub const NOW: Nanos = START + 300 * MILLISECOND;
/// The longest wait in both tiers.
pub const WAIT: Nanos = 10 * SECOND;
pub const GRACE: Nanos = 250 * MILLISECOND;

pub const WORKERS: u16 = 4;
/// Owns the rows of dead workers.
pub const NOBODY: Owner = Owner { worker: u16::MAX, generation: 0 };

/// Slots of each backend; both are on one node.
pub const SLOTS: [u32; 2] = [2, 3];
pub const NODE: u32 = 5;
/// Prompt tokens of the second backend in flight at once.
const PREFILL: u64 = 300;

/// The generation of a worker that all tests are about.
pub fn owner(worker: u16) -> Owner {
    Owner { worker, generation: 1 }
}

pub struct Fixture {
    pub admission: Admission,
    pub memory: Memory,
}

impl Fixture {
    pub fn new() -> Self {
        let sizes = sizes();
        let mut layout = Layout::new();
        let parts = AdmissionParts::add(&mut layout, &sizes);
        let region = Arc::new(Region::shared(&layout, "penstock-test").expect("memory"));
        let memory = Memory::of(&region, layout.bytes());
        let wakers = Arc::new(Wakers::none());
        let admission = Admission::create(region, parts, wakers, &sizes, START);
        for worker in 0..WORKERS {
            assert_eq!(admission.begin_worker(worker), 1);
        }
        Fixture { admission, memory }
    }

    /// Offers a request that is granted at once.
    pub fn run(&self, offer: &Offer) -> Ticket {
        match self.admission.offer(offer, START) {
            Decision::Granted(grant) => grant.ticket,
            other => panic!("there is room: {other:?}"),
        }
    }

    /// Offers a request that has to wait.
    pub fn queue(&self, offer: &Offer) -> Ticket {
        match self.admission.offer(offer, START) {
            Decision::Queued(ticket) => ticket,
            other => panic!("there is no room: {other:?}"),
        }
    }

    pub fn notifications(&self, worker: u16) -> Vec<Notification> {
        let mut notifications = Vec::with_capacity(16);
        self.admission.take_grants(worker, &mut notifications);
        notifications
    }
}

fn sizes() -> Sizes {
    let tier = |backends: &[BackendIndex], concurrency| TierLimits {
        concurrency,
        backends: backends.to_vec(),
        queue_requests: 8,
        queue_tokens: 10_000,
        queue_bytes: 10_000,
        tenant_requests: 8,
        wait: WAIT,
        first_token: None,
        share: 1,
        priority_weights: [8, 3, 1],
    };
    let backend = |slots, prefill| BackendLimits {
        slots,
        node: Some(0),
        prefill,
        kv: TokenLimit::Tokens(4_000),
        weight: 1_000,
        abort_grace: GRACE,
        adaptive: AdaptiveMode::Observe,
        inter_token: None,
    };
    Sizes {
        rows: 16,
        tiers: vec![tier(&[0, 1], None), tier(&[1], Some(SLOTS[1]))],
        backends: vec![
            backend(SLOTS[0], TokenLimit::None),
            backend(SLOTS[1], TokenLimit::Tokens(PREFILL)),
        ],
        nodes: vec![Some(NODE)],
        workers: usize::from(WORKERS),
    }
}

/// A request of a worker that may only go to one backend.
pub fn offer(worker: u16, tier: TierIndex, backend: BackendIndex) -> Offer {
    Offer {
        owner: owner(worker),
        tier,
        tenant: Tenant::UNKNOWN,
        priority: Priority::Normal,
        slots: 1,
        prompt: 100,
        max_tokens: Some(50),
        tools: false,
        streams: true,
        bytes: 500,
        candidates: Candidates::cold([backend]),
    }
}

/// Some of the requests that [`requests`] makes.
#[derive(Debug, Clone, Copy)]
pub struct Requests {
    pub first: Ticket,
    /// Of a tenant with one slot; another of its requests waits for that.
    pub single: Ticket,
    pub long: Ticket,
    pub other: Ticket,
    pub urgent: Ticket,
    pub patient: Ticket,
}

/// The first backend is full, and three wait for it; the second has a slot left.
pub fn requests(fixture: &Fixture) -> Requests {
    let single = Tenant { slots: Some(1), ..Tenant::named(9) };
    let requests = Requests {
        first: fixture.run(&offer(0, 0, 0)),
        single: fixture.run(&Offer { tenant: single, ..offer(1, 0, 0) }),
        long: fixture.run(&Offer { prompt: 150, ..offer(2, 1, 1) }),
        other: fixture.run(&offer(1, 0, 1)),
        patient: fixture.queue(&Offer { priority: Priority::Low, ..offer(2, 0, 0) }),
        urgent: fixture.queue(&Offer { priority: Priority::High, ..offer(3, 0, 0) }),
    };
    fixture.queue(&Offer { tenant: single, ..offer(1, 0, 0) });
    requests
}
