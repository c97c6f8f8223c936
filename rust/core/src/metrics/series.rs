//! Labelled counters. The labels of each are packed into one word, so that a table of fixed size can hold them.

use crate::exchange::{AttemptResult, Outcome, Term, Where, Who};
use crate::openai::Code;
use crate::routing::{BackendIndex, ModelIndex, TierIndex};
use crate::rules::Rule;

/// A disagreement between the engine's own metrics and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// The backend runs more requests than we sent: another client uses it.
    ForeignTraffic,
    /// Requests wait inside the engine.
    EngineQueue,
    /// The engine preempted running requests because its memory was full.
    Preemptions,
    /// Metrics that it used to report are missing.
    GaugesMissing,
}

impl Drift {
    pub const ALL: [Drift; 4] =
        [Drift::ForeignTraffic, Drift::EngineQueue, Drift::Preemptions, Drift::GaugesMissing];

    pub fn name(self) -> &'static str {
        match self {
            Drift::ForeignTraffic => "foreign_traffic",
            Drift::EngineQueue => "engine_queue",
            Drift::Preemptions => "preemptions",
            Drift::GaugesMissing => "gauges_missing",
        }
    }
}

/// A labelled counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    Requests {
        tier: Option<TierIndex>,
        /// `None`: no such model.
        model: Option<ModelIndex>,
        backend: Option<BackendIndex>,
        outcome: Outcome,
        term: Term,
    },
    Shed {
        tier: Option<TierIndex>,
        code: Code,
    },
    Attempts {
        backend: BackendIndex,
        result: AttemptResult,
    },
    Normalised {
        backend: BackendIndex,
        rule: Rule,
    },
    Drift {
        backend: BackendIndex,
        signal: Drift,
    },
}

/// Bits of each field of a key: family, tier, backend, model, two further labels. An absent index is 0, others are +1.
const BITS: [u32; 6] = [4, 8, 12, 16, 8, 8];

impl Series {
    /// The packed labels. Never 0, which marks an empty entry.
    pub(super) fn key(self) -> u64 {
        let some = |index: Option<u16>| index.map_or(0, |index| u64::from(index) + 1);
        let fields = match self {
            Series::Requests { tier, model, backend, outcome, term: Term(who, place) } => [
                1,
                some(tier),
                some(backend),
                some(model),
                outcome as u64,
                who as u64 * Where::ALL.len() as u64 + place as u64,
            ],
            Series::Shed { tier, code } => [2, some(tier), 0, 0, code as u64, 0],
            Series::Attempts { backend, result } => {
                [3, 0, some(Some(backend)), 0, result as u64, 0]
            }
            Series::Normalised { backend, rule } => [4, 0, some(Some(backend)), 0, rule as u64, 0],
            Series::Drift { backend, signal } => [5, 0, some(Some(backend)), 0, signal as u64, 0],
        };
        fields.into_iter().zip(BITS).fold(0, |key, (field, bits)| key << bits | field)
    }

    /// The inverse of [`Self::key`]; `None` if the key is invalid.
    pub(super) fn of_key(mut key: u64) -> Option<Self> {
        let mut fields = [0; BITS.len()];
        for (field, bits) in fields.iter_mut().zip(BITS).rev() {
            *field = (key & ((1 << bits) - 1)) as usize;
            key >>= bits;
        }
        let [family, tier, backend, model, first, second] = fields;
        let some = |index: usize| (index as u16).checked_sub(1);
        Some(match family {
            1 => Series::Requests {
                tier: some(tier),
                model: some(model),
                backend: some(backend),
                outcome: *Outcome::ALL.get(first)?,
                term: Term(
                    *Who::ALL.get(second / Where::ALL.len())?,
                    Where::ALL[second % Where::ALL.len()],
                ),
            },
            2 => Series::Shed { tier: some(tier), code: *Code::ALL.get(first)? },
            3 => Series::Attempts {
                backend: some(backend)?,
                result: *AttemptResult::ALL.get(first)?,
            },
            4 => Series::Normalised { backend: some(backend)?, rule: *Rule::ALL.get(first)? },
            5 => Series::Drift { backend: some(backend)?, signal: *Drift::ALL.get(first)? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Drift, Series};
    use crate::exchange::{AttemptResult, Outcome, Term, Where, Who};
    use crate::openai::Code;
    use crate::rules::Rule;

    #[test]
    fn a_key_says_everything() {
        let mut all = Vec::new();
        for outcome in Outcome::ALL {
            for who in Who::ALL {
                for place in Where::ALL {
                    for tier in [None, Some(0), Some(63)] {
                        let (backend, model) = (tier.map(|t| t * 4), tier.map(|t| t * 100));
                        let term = Term(who, place);
                        all.push(Series::Requests { tier, model, backend, outcome, term });
                    }
                }
            }
        }
        all.extend(Code::ALL.iter().map(|&code| Series::Shed { tier: Some(3), code }));
        all.extend(AttemptResult::ALL.map(|result| Series::Attempts { backend: 255, result }));
        all.extend(Rule::ALL.map(|rule| Series::Normalised { backend: 0, rule }));
        all.extend(Drift::ALL.map(|signal| Series::Drift { backend: 7, signal }));
        let mut keys: Vec<u64> = all.iter().map(|series| series.key()).collect();
        for (series, &key) in all.iter().zip(&keys) {
            assert_eq!(Series::of_key(key), Some(*series));
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all.len());
        assert!(!keys.contains(&0));
        assert_eq!(Series::of_key(0), None);
    }
}
