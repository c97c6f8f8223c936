//! What unit tests begin with: one backend of ten slots, one tier, one small request.

use crate::Admission;
use crate::api::decision::{Decision, Grant};
use crate::api::ids::Owner;
use crate::api::offer::{Candidates, Offer, Priority, Tenant};
use crate::limits::adaptive::AdaptiveMode;
use crate::limits::tokens::TokenLimit;
use crate::state::backend::BackendLimits;
use crate::state::sizes::Sizes;
use crate::state::tier::TierLimits;
use crate::time::SECOND;

pub(crate) fn admission() -> Admission {
    let tier = TierLimits {
        concurrency: None,
        backends: vec![0],
        queue_requests: 100,
        queue_tokens: 1 << 40,
        queue_bytes: 1 << 40,
        tenant_requests: 100,
        wait: 10 * SECOND,
        first_token: None,
        share: 1,
        priority_weights: [8, 3, 1],
    };
    let backend = BackendLimits {
        slots: 10,
        node: None,
        prefill: TokenLimit::None,
        kv: TokenLimit::None,
        weight: 1000,
        abort_grace: SECOND,
        adaptive: AdaptiveMode::Off,
        inter_token: None,
    };
    let (tiers, backends) = (vec![tier], vec![backend]);
    Admission::new(&Sizes { rows: 100, tiers, backends, nodes: vec![], workers: 1 })
}

pub(crate) fn offer() -> Offer {
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
        bytes: 100,
        candidates: Candidates::cold([0]),
    }
}

#[track_caller]
pub(crate) fn granted(decision: Decision) -> Grant {
    match decision {
        Decision::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}
