//! What the tests begin with: one backend, one tier, one request. Each test changes what it is about.

use penstock_admission::AdaptiveMode;
use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, BackendLimits, Candidates, Decision, Grant, Notification, Offer, Owner, Priority,
    Refusal, Refused, Sizes, Tenant, Ticket, TierLimits, TokenLimit,
};

/// No test begins at 0: that stands for "never" in many places.
pub const START: Nanos = 1_000 * SECOND;
pub const WAIT: Nanos = 10 * SECOND;
pub const GRACE: Nanos = 250 * MILLISECOND;

pub fn tier(backends: &[u16]) -> TierLimits {
    TierLimits {
        concurrency: None,
        backends: backends.to_vec(),
        queue_requests: 1_000_000,
        queue_tokens: 1 << 40,
        queue_bytes: 1 << 40,
        tenant_requests: 1_000_000,
        wait: WAIT,
        first_token: None,
        share: 1,
        priority_weights: [8, 3, 1],
    }
}

pub fn backend(slots: u32) -> BackendLimits {
    BackendLimits {
        slots,
        node: None,
        prefill: TokenLimit::None,
        kv: TokenLimit::None,
        weight: 1000,
        abort_grace: GRACE,
        adaptive: AdaptiveMode::Off,
        inter_token: None,
    }
}

pub fn sizes(tiers: Vec<TierLimits>, backends: Vec<BackendLimits>) -> Sizes {
    Sizes { rows: 1000, tiers, backends, nodes: vec![], workers: 2 }
}

/// A limiter whose clock stands at [`START`].
pub fn open(sizes: &Sizes) -> Admission {
    let admission = Admission::new(sizes);
    admission.tick(START);
    admission
}

/// One tier on backends with this many slots.
pub fn one_tier(slots: &[u32]) -> Admission {
    let indices: Vec<u16> = (0..slots.len() as u16).collect();
    open(&sizes(vec![tier(&indices)], slots.iter().map(|&slots| backend(slots)).collect()))
}

/// A small request of the first tier that may run on the first backend.
pub fn offer() -> Offer {
    Offer {
        owner: Owner { worker: 0, generation: 0 },
        tier: 0,
        tenant: Tenant::UNKNOWN,
        priority: Priority::Normal,
        slots: 1,
        prompt: 100,
        max_tokens: Some(100),
        tools: false,
        streams: true,
        bytes: 1000,
        candidates: Candidates::cold([0]),
    }
}

/// Asserts that it was granted at once.
#[track_caller]
pub fn granted(decision: Decision) -> Grant {
    match decision {
        Decision::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

#[track_caller]
pub fn queued(decision: Decision) -> Ticket {
    match decision {
        Decision::Queued(ticket) => ticket,
        other => panic!("not queued: {other:?}"),
    }
}

#[track_caller]
pub fn refused(decision: Decision) -> Refused {
    match decision {
        Decision::Refused(refused) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn notifications(admission: &Admission, worker: u16) -> Vec<Notification> {
    let mut notifications = Vec::new();
    admission.take_grants(worker, &mut notifications);
    notifications
}

/// What the first worker was granted; asserts that it has no other notifications.
#[track_caller]
pub fn grants(admission: &Admission) -> Vec<Grant> {
    let grant = |notification| match notification {
        Notification::Granted(grant) => grant,
        Notification::Refused(..) => panic!("not a grant: {notification:?}"),
    };
    notifications(admission, 0).into_iter().map(grant).collect()
}

pub fn tickets(grants: &[Grant]) -> Vec<Ticket> {
    grants.iter().map(|grant| grant.ticket).collect()
}

/// Which requests of the first worker were refused, and why; asserts that it has no other notifications.
#[track_caller]
pub fn refusals(admission: &Admission) -> Vec<(Ticket, Refusal)> {
    let refusal = |notification| match notification {
        Notification::Refused(ticket, refused) => (ticket, refused.why),
        Notification::Granted(_) => panic!("not a refusal: {notification:?}"),
    };
    notifications(admission, 0).into_iter().map(refusal).collect()
}
