//! How fast a backend processes prompts.

use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// With this many prompt tokens in flight an engine works at full speed: one chunk (vLLM's
/// `max_num_batched_tokens`).
pub(crate) const CHUNK: u64 = 2048;

/// A window takes this much busy time, and at least this many prompts.
const WINDOW: Nanos = 250 * MILLISECOND;

const ENOUGH: u32 = 8;

/// Weight of a new window.
const FOLLOW: f64 = 0.2;

/// A prompt that was given up sooner says nothing about the rate: it may have waited for an engine step, or
/// for the network.
const MIN_EVIDENCE: Nanos = 2 * SECOND;

/// The rate is forgotten if it is this many times what can have been processed.
const WRONG: f64 = 2.0;

/// Prompt tokens processed, and the time that took.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Prefilled {
    tokens: u64,
    time: Nanos,
}

impl Prefilled {
    const NOTHING: Prefilled = Prefilled { tokens: 0, time: 0 };

    fn per_second(self) -> f64 {
        self.tokens as f64 * SECOND as f64 / self.time as f64
    }
}

/// Prompt tokens per second, measured while there is at least a chunk to process, or half of the prefill
/// limit if that is less: with fewer the backend is not slow but idle.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrefillRate {
    /// 0: not known.
    per_second: f64,
    /// A rate that it has been seen to reach at any load. Each step at most doubles it, as one prompt from
    /// the engine's cache proves little.
    proven: f64,
    busy: Prefilled,
    prompts: u32,
    is_busy: u32,
    /// Since the last proof, at any load.
    recent: Prefilled,
    /// Prompt tokens in flight.
    in_flight: u64,
    /// Time is counted up to this moment.
    counted_to: Nanos,
    /// All tokens ever processed.
    total: u64,
}

plain!(PrefillRate);

impl PrefillRate {
    pub(crate) const UNKNOWN: PrefillRate = PrefillRate {
        per_second: 0.0,
        proven: 0.0,
        busy: Prefilled::NOTHING,
        prompts: 0,
        is_busy: 0,
        recent: Prefilled::NOTHING,
        in_flight: 0,
        counted_to: 0,
        total: 0,
    };

    #[cfg(test)]
    pub(crate) fn known(per_second: f64) -> Self {
        PrefillRate { per_second, ..Self::UNKNOWN }
    }

    pub(crate) fn get(&self) -> Option<f64> {
        (self.per_second > 0.0).then_some(self.per_second)
    }

    /// The known rate, else the proven one; 0: nothing is known.
    pub(crate) fn proven(&self) -> f64 {
        self.get().unwrap_or(self.proven)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// A prompt was processed. `shown`: its first token says so, it is not just assumed by time.
    pub(crate) fn count(&mut self, tokens: u64, shown: bool) {
        self.total += tokens;
        if self.is_busy != 0 {
            self.busy.tokens += tokens;
            self.prompts += 1;
        }
        if shown {
            self.recent.tokens += tokens;
        }
    }

    /// This many tokens are in flight from now on, of at most `limit` at once.
    pub(crate) fn note(&mut self, in_flight: u64, limit: u64, now: Nanos) {
        if in_flight == self.in_flight {
            return;
        }
        self.advance(now);
        self.in_flight = in_flight;
        self.is_busy = u32::from(in_flight >= CHUNK.min(limit / 2).max(1));
        self.learn();
    }

    /// A request was given up without a first token, `taken` after its grant, when the backend had
    /// processed `before` tokens in all.
    pub(crate) fn abandoned(&mut self, before: u64, taken: Nanos, now: Nanos) {
        if taken < MIN_EVIDENCE {
            return;
        }
        let most = Prefilled { tokens: self.total - before + self.in_flight, time: taken };
        if most.per_second() * WRONG < self.proven() {
            let PrefillRate { in_flight, is_busy, total, .. } = *self;
            *self = PrefillRate { in_flight, is_busy, total, counted_to: now, ..Self::UNKNOWN };
        }
    }

    fn advance(&mut self, now: Nanos) {
        let time = now.saturating_sub(self.counted_to);
        self.counted_to = self.counted_to.max(now);
        if self.is_busy != 0 {
            self.busy.time += time;
        }
        if self.in_flight != 0 {
            self.recent.time += time;
        }
    }

    fn learn(&mut self) {
        if self.busy.time >= WINDOW && self.prompts >= ENOUGH {
            let follow = if self.per_second == 0.0 { 1.0 } else { FOLLOW };
            self.per_second += follow * (self.busy.per_second() - self.per_second);
            (self.busy, self.prompts) = (Prefilled::NOTHING, 0);
        }
        if self.recent.time > 0 && self.recent.tokens >= CHUNK {
            let most = 2.0 * self.proven.max(CHUNK as f64);
            self.proven = self.proven.max(self.recent.per_second().min(most));
            self.recent = Prefilled::NOTHING;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PrefillRate;
    use crate::time::{MILLISECOND, SECOND};

    /// Prompts of `tokens` one after the other, each `millis` long, then a pause.
    fn read(rate: &mut PrefillRate, from: u64, tokens: u64, millis: u64, pause: u64) -> u64 {
        let mut now = from;
        for _ in 0..100 {
            rate.note(tokens, u64::MAX, now);
            now += millis * MILLISECOND;
            rate.count(tokens, true);
            rate.note(0, u64::MAX, now);
            now += pause;
        }
        now
    }

    #[test]
    fn pauses_do_not_slow_it() {
        let mut rate = PrefillRate::UNKNOWN;
        assert_eq!(rate.get(), None);
        let now = read(&mut rate, 1, 4000, 200, 0);
        assert!((rate.get().unwrap() - 20_000.0).abs() < 1.0);
        let now = read(&mut rate, now, 4000, 200, 10 * SECOND);
        assert!((rate.get().unwrap() - 20_000.0).abs() < 1.0);
        read(&mut rate, now, 4000, 400, 0);
        assert!((rate.get().unwrap() - 10_000.0).abs() < 1000.0, "it really is slower now");
    }

    #[test]
    fn short_prompts_alone_say_nothing() {
        let mut rate = PrefillRate::UNKNOWN;
        let now = read(&mut rate, 1, 100, 30, 0);
        assert_eq!(rate.get(), None);
        let now = read(&mut rate, now, 4000, 200, 0);
        read(&mut rate, now, 100, 30, 0);
        assert!((rate.get().unwrap() - 20_000.0).abs() < 1.0);
    }
}
