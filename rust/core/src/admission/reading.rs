//! Prompts that are being read: how fast a backend does it, and which of them are read by now.
//!
//! A stream says with its first token that its prompt has been read. A whole answer says nothing
//! before its end, so its prompt counts for as long as such prompts take.

use super::heap::{self, Elements, NONE, Node};
use super::ledger::Ledger;
use super::row::Row;
use crate::shm::plain;
use crate::time::{MILLISECOND, Nanos, SECOND};

/// With so many prompt tokens in flight an engine reads as fast as it can: a chunk
/// (research/scheduling.md §1.3: vLLM's `max_num_batched_tokens`).
pub(super) const CHUNK: u64 = 2048;
/// Speed is taken after so much time of reading, and so many prompts.
const WINDOW: Nanos = 250 * MILLISECOND;
const ENOUGH: u32 = 8;
/// What a prompt token takes where no speed has shown yet.
const GUESSED_TIME: Nanos = SECOND / 10_000;
/// Weight of a window.
const FOLLOW: f64 = 0.2;

/// Prompt tokens a second, while there is at least a chunk to read: with less, or nothing, to do a
/// backend is not slow but idle (research/scheduling.md §2.3, point 2).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadingRate {
    /// 0: not known.
    per_second: f64,
    sum: u64,
    prompts: u32,
    _padding: u32,
    busy: Nanos,
    /// Since when it is busy; 0: it is not.
    busy_since: Nanos,
}

plain!(ReadingRate);

impl ReadingRate {
    pub(super) const UNKNOWN: ReadingRate =
        ReadingRate { per_second: 0.0, sum: 0, prompts: 0, _padding: 0, busy: 0, busy_since: 0 };

    #[cfg(test)]
    pub(super) fn known(per_second: f64) -> Self {
        ReadingRate { per_second, ..Self::UNKNOWN }
    }

    pub(super) fn get(&self) -> Option<f64> {
        (self.per_second > 0.0).then_some(self.per_second)
    }

    /// A prompt has been read.
    pub(super) fn count(&mut self, tokens: u64) {
        if self.busy_since != 0 {
            self.sum += tokens;
            self.prompts += 1;
        }
    }

    /// So many tokens are being read from now on.
    pub(super) fn note(&mut self, reading: u64, now: Nanos) {
        if reading >= CHUNK && self.busy_since == 0 {
            self.busy_since = now.max(1);
        } else if reading < CHUNK && self.busy_since != 0 {
            self.busy += now.saturating_sub(self.busy_since);
            self.busy_since = 0;
        }
        self.learn(now);
    }

    fn learn(&mut self, now: Nanos) {
        let going_on = match self.busy_since {
            0 => 0,
            since => now.saturating_sub(since),
        };
        let busy = self.busy + going_on;
        if busy < WINDOW || self.prompts < ENOUGH {
            return;
        }
        let seen = self.sum as f64 * SECOND as f64 / busy as f64;
        let follow = if self.per_second == 0.0 { 1.0 } else { FOLLOW };
        self.per_second += follow * (seen - self.per_second);
        (self.sum, self.prompts, self.busy) = (0, 0, 0);
        self.busy_since = if self.busy_since == 0 { 0 } else { now };
    }
}

/// Running rows in the order in which their prompts are believed to be read.
struct Readings<'a>(&'a mut [Row]);

impl Elements for Readings<'_> {
    fn node(&self, at: u32) -> &Node {
        &self.0[at as usize].node
    }
    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.0[at as usize].node
    }
    fn is_before(&self, one: u32, other: u32) -> bool {
        self.0[one as usize].read_at < self.0[other as usize].read_at
    }
}

impl Ledger<'_> {
    /// A permit is given to a row. Of a whole answer the prompt counts as long as such prompts take.
    pub(super) fn begin_reading(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        let (backend, prefill) = (usize::from(row.backend), row.resources.prefill);
        let state = &mut self.backends[backend];
        if row.whole != 0 {
            let time = state.prefill_time(prefill);
            row.read_at = row.granted + if time == 0 { prefill * GUESSED_TIME } else { time };
        }
        state.reading_rate.note(state.cap.used.prefill, self.board.now);
        self.link_reading(at);
    }

    /// Puts a row that will not say when its prompt is read into its backend's heap.
    pub(super) fn link_reading(&mut self, at: u32) {
        if self.rows[at as usize].reads_silently() {
            let backend = usize::from(self.rows[at as usize].backend);
            heap::insert(&mut Readings(self.rows), &mut self.backends[backend].reading, at);
        }
    }

    /// Takes it out again, if it is there.
    pub(super) fn unlink_reading(&mut self, at: u32) {
        if self.rows[at as usize].reads_silently() {
            let backend = usize::from(self.rows[at as usize].backend);
            heap::remove(&mut Readings(self.rows), &mut self.backends[backend].reading, at);
        }
    }

    /// Gives back what a row holds for reading its prompt. Returns the tokens.
    pub(super) fn give_prefill(&mut self, at: u32) -> u64 {
        self.unlink_reading(at);
        let row = &mut self.rows[at as usize];
        let backend = usize::from(row.backend);
        let prefill = std::mem::take(&mut row.resources.prefill);
        let now = self.board.now;
        let rate = &mut self.backends[backend].reading_rate;
        rate.count(prefill);
        self.each_cap(at, |cap| cap.used.prefill -= prefill);
        let state = &mut self.backends[backend];
        state.reading_rate.note(state.cap.used.prefill, now);
        prefill
    }

    /// Time has passed: prompts that take no longer have been read.
    pub(super) fn end_readings(&mut self, backend: usize) {
        loop {
            let first = self.backends[backend].reading;
            if first == NONE || self.rows[first as usize].read_at > self.board.now {
                return;
            }
            self.give_prefill(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ReadingRate;
    use crate::time::{MILLISECOND, SECOND};

    /// Prompts of `tokens` one after the other, each `millis` long, then a pause.
    fn read(rate: &mut ReadingRate, from: u64, tokens: u64, millis: u64, pause: u64) -> u64 {
        let mut now = from;
        for _ in 0..100 {
            rate.note(tokens, now);
            now += millis * MILLISECOND;
            rate.count(tokens);
            rate.note(0, now);
            now += pause;
        }
        now
    }

    #[test]
    fn pauses_do_not_slow_it() {
        let mut rate = ReadingRate::UNKNOWN;
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
        let mut rate = ReadingRate::UNKNOWN;
        let now = read(&mut rate, 1, 100, 30, 0);
        assert_eq!(rate.get(), None);
        let now = read(&mut rate, now, 4000, 200, 0);
        read(&mut rate, now, 100, 30, 0);
        assert!((rate.get().unwrap() - 20_000.0).abs() < 1.0);
    }
}
