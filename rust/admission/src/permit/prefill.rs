//! Prompts that are being read: which of them are read by now.
//!
//! A stream says with its first token that its prompt has been read. A whole answer says nothing
//! before its end, so its prompt counts for as long as such prompts take.

use crate::state::heap::{self, Elements, NONE, Node};
use crate::state::ledger::Ledger;
use crate::state::row::Row;
use crate::time::{Nanos, SECOND};

/// What a prompt token takes where no speed has shown yet.
const GUESSED_TIME: Nanos = SECOND / 10_000;

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
    pub(crate) fn begin_reading(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        let (backend, prefill) = (usize::from(row.backend), row.resources.prefill);
        let state = &mut self.backends[backend];
        if row.whole != 0 {
            let time = state.prefill_time(prefill);
            row.read_at = row.granted + if time == 0 { prefill * GUESSED_TIME } else { time };
        }
        state.note_reading(self.board.now);
        self.link_reading(at);
    }

    /// Puts a row that will not say when its prompt is read into its backend's heap.
    pub(crate) fn link_reading(&mut self, at: u32) {
        if self.rows[at as usize].reads_silently() {
            let backend = usize::from(self.rows[at as usize].backend);
            heap::insert(&mut Readings(self.rows), &mut self.backends[backend].reading, at);
        }
    }

    /// Takes it out again, if it is there.
    pub(crate) fn unlink_reading(&mut self, at: u32) {
        if self.rows[at as usize].reads_silently() {
            let backend = usize::from(self.rows[at as usize].backend);
            heap::remove(&mut Readings(self.rows), &mut self.backends[backend].reading, at);
        }
    }

    /// Gives back what a row holds for reading its prompt. `shown`: it says itself that it is read. Returns
    /// the tokens.
    pub(crate) fn give_prefill(&mut self, at: u32, shown: bool) -> u64 {
        self.unlink_reading(at);
        let row = &mut self.rows[at as usize];
        let backend = usize::from(row.backend);
        let prefill = std::mem::take(&mut row.resources.prefill);
        let now = self.board.now;
        let rate = &mut self.backends[backend].reading_rate;
        rate.count(prefill, shown);
        self.each_cap(at, |cap| cap.used.prefill -= prefill);
        self.backends[backend].note_reading(now);
        prefill
    }

    /// A row ends that may not have had its first token. Of a whole answer nobody knows how far it was.
    pub(crate) fn note_unread(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        if row.whole == 0 && row.resources.prefill > 0 {
            let (now, taken) = (self.board.now, self.board.now - row.granted);
            let rate = &mut self.backends[usize::from(row.backend)].reading_rate;
            rate.unread(row.read_before, taken, now);
        }
    }

    /// Time has passed: prompts that take no longer have been read.
    pub(crate) fn end_readings(&mut self, backend: usize) {
        loop {
            let first = self.backends[backend].reading;
            if first == NONE || self.rows[first as usize].read_at > self.board.now {
                return;
            }
            self.give_prefill(first, false);
        }
    }
}
