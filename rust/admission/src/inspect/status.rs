//! Tiers and backends as status pages show them.

use crate::api::ids::{BackendIndex, TierIndex};
use crate::api::report::Health;
use crate::limits::caps::Cap;
use crate::state::ledger::Ledger;
use crate::time::Nanos;

#[derive(Debug, Clone, Copy)]
pub struct BackendNumbers {
    pub cap: Cap,
    /// Slots that it may have in use now.
    pub effective: u32,
    /// What the adaptive limit would allow, once it has seen enough.
    pub suggested: Option<u32>,
    pub health: Health,
    pub starts_slowly: bool,
    /// Requests do not get through to it at present.
    pub is_out: bool,
    pub prefill_limit: Option<u64>,
    pub kv_limit: Option<u64>,
    /// Prompt tokens read in a second, as far as known.
    pub prefill_rate: Option<f64>,
    /// When a request last had something from it; 0: never.
    pub heard: Nanos,
}

#[derive(Debug, Clone, Copy)]
pub struct TierNumbers {
    pub cap: Cap,
    pub queued: u32,
    /// Slots that become free in a second, once that is known.
    pub speed: Option<f64>,
}

impl Ledger<'_> {
    pub(crate) fn tier_numbers(&self, tier: TierIndex) -> TierNumbers {
        let state = &self.tiers[usize::from(tier)];
        TierNumbers { cap: state.cap, queued: state.requests, speed: state.speed.get() }
    }

    pub(crate) fn backend_numbers(&self, backend: BackendIndex) -> BackendNumbers {
        let state = &self.backends[usize::from(backend)];
        BackendNumbers {
            cap: state.cap,
            effective: state.effective(self.board.now),
            suggested: state.adaptive.suggestion(state.cap.bound()),
            health: state.health(),
            starts_slowly: state.starts_slowly(),
            is_out: state.outage.is_on(),
            prefill_limit: state.prefill_limit(),
            kv_limit: state.kv_limit(),
            prefill_rate: state.reading_rate.get(),
            heard: state.heard,
        }
    }
}
