//! Tiers and backends as status pages show them.

use crate::api::ids::{BackendIndex, TierIndex};
use crate::api::report::Health;
use crate::limits::caps::Cap;
use crate::state::caps::CapKind;
use crate::state::ledger::Ledger;
use crate::time::Nanos;

#[derive(Debug, Clone, Copy)]
pub struct BackendStatus {
    pub cap: Cap,
    /// Slots that it may have in use now.
    pub effective: u32,
    /// What the adaptive limit would allow, once it has data.
    pub suggested: Option<u32>,
    pub health: Health,
    pub starts_slowly: bool,
    /// Requests do not reach it at present.
    pub has_outage: bool,
    pub prefill_limit: Option<u64>,
    pub kv_limit: Option<u64>,
    /// Prompt tokens per second, as far as known.
    pub prefill_rate: Option<f64>,
    /// When it last answered a request; 0: never.
    pub last_response: Nanos,
}

#[derive(Debug, Clone, Copy)]
pub struct TierStatus {
    pub cap: Cap,
    pub queued: u32,
    /// Slots that become free per second, once that is known.
    pub speed: Option<f64>,
}

impl Ledger<'_> {
    pub(crate) fn tier_status(&self, tier: TierIndex) -> TierStatus {
        let state = &self.tiers[usize::from(tier)];
        let cap = *self.caps.get(CapKind::Tier, tier.into());
        TierStatus { cap, queued: state.requests, speed: state.speed.get() }
    }

    pub(crate) fn backend_status(&self, backend: BackendIndex) -> BackendStatus {
        let state = self.backend(usize::from(backend));
        BackendStatus {
            cap: *state.cap,
            effective: state.effective(self.globals.now),
            suggested: state.adaptive.suggestion(state.cap.bound()),
            health: state.health(),
            starts_slowly: state.starts_slowly(),
            has_outage: state.outage.is_active(),
            prefill_limit: state.prefill_limit(),
            kv_limit: state.kv_limit(),
            prefill_rate: state.prefill_rate.get(),
            last_response: state.last_response,
        }
    }
}
