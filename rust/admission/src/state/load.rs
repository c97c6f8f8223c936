//! The load of a backend as it is read without the lock, to choose candidates.

use super::backend::Backend;
use crate::time::Nanos;

/// How full a backend was a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Slots in use divided by slots that may be used, in 65,536ths; `None`: it may not be used at all.
    pub utilization: Option<u32>,
    /// The generation of the backend: the prefix cache of an earlier one is lost.
    pub generation: u8,
    /// Requests do not reach it at present.
    pub has_outage: bool,
    /// It has an outage, or was unavailable lately: an answer from it must be reported.
    pub is_suspected: bool,
}

const UNUSABLE: u32 = u32::MAX;

impl Load {
    pub(crate) fn of(backend: Backend<'_>, now: Nanos) -> Self {
        let slots = u64::from(backend.effective(now).max(1));
        let utilization = ((u64::from(backend.cap.used.slots) << 16) / slots) as u32;
        Load {
            utilization: backend.is_usable().then_some(utilization.min(UNUSABLE - 1)),
            // Never 0, which is an empty entry of the prefix index.
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
