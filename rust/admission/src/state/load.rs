//! What can be known of a backend without the lock: a hint, for choosing candidates.

use super::backend::Backend;
use crate::time::Nanos;

/// How full a backend was a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Used slots over those that it may use, in 65,536ths; `None`: it cannot be used at all.
    pub utilization: Option<u32>,
    /// Which generation of the backend this is: what it had in its caches in another is gone.
    pub generation: u8,
    /// Requests do not get through to it at present.
    pub has_outage: bool,
    /// It is out, or has turned requests away of late: that one gets through is news.
    pub is_suspected: bool,
}

const UNUSABLE: u32 = u32::MAX;

impl Load {
    pub(crate) fn of(backend: Backend<'_>, now: Nanos) -> Self {
        let slots = u64::from(backend.effective(now).max(1));
        let utilization = ((u64::from(backend.cap.used.slots) << 16) / slots) as u32;
        Load {
            utilization: backend.is_usable().then_some(utilization.min(UNUSABLE - 1)),
            // Never 0, which is what an empty place of the prefix index says.
            generation: (backend.generation % 255) as u8 + 1,
            has_outage: backend.outage.is_active(),
            is_suspected: backend.outage.is_suspected(),
        }
    }

    pub(crate) fn word(self) -> u64 {
        u64::from(self.is_suspected) << 41
            | u64::from(self.has_outage) << 40
            | u64::from(self.generation) << 32
            | u64::from(self.utilization.unwrap_or(UNUSABLE))
    }

    pub(crate) fn of_word(word: u64) -> Self {
        let utilization = word as u32;
        Load {
            utilization: (utilization != UNUSABLE).then_some(utilization),
            generation: (word >> 32) as u8,
            has_outage: word >> 40 & 1 != 0,
            is_suspected: word >> 41 & 1 != 0,
        }
    }
}
