//! Which prompts are being processed.
//!
//! The first token of a stream says that its prompt is processed. An answer that is not streamed says
//! nothing before its end, so its prefill is assumed to take as long as such prompts take.

use crate::limits::caps::Resources;
use crate::state::heap::{self, Elements, NONE, Node};
use crate::state::ledger::Ledger;
use crate::state::row::Row;
use crate::time::{Nanos, SECOND};

/// Time per prompt token where no rate is known.
const GUESSED_TIME: Nanos = SECOND / 10_000;

/// Running rows in the order in which their prefill is assumed to end.
struct PrefillOrder<'a>(&'a mut [Row]);

impl Elements for PrefillOrder<'_> {
    fn node(&self, at: u32) -> &Node {
        &self.0[at as usize].node
    }
    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.0[at as usize].node
    }
    fn is_before(&self, one: u32, other: u32) -> bool {
        self.0[one as usize].prefill_end < self.0[other as usize].prefill_end
    }
}

impl Ledger<'_> {
    /// A row got its permit. Without a stream, the end of its prefill is estimated.
    pub(crate) fn begin_prefill(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        let (backend, prefill) = (usize::from(row.backend), row.resources.prefill);
        let state = &mut self.backends[backend];
        if row.streams == 0 {
            let time = state.prefill_time(prefill);
            row.prefill_end = row.granted + if time == 0 { prefill * GUESSED_TIME } else { time };
        }
        self.note_prefill(backend);
        self.link_prefill(at);
    }

    /// Adds a row whose prefill end is estimated to its backend's heap.
    pub(crate) fn link_prefill(&mut self, at: u32) {
        if self.rows[at as usize].has_estimated_prefill() {
            let backend = usize::from(self.rows[at as usize].backend);
            heap::insert(
                &mut PrefillOrder(&mut self.rows),
                &mut self.backends[backend].prefilling,
                at,
            );
        }
    }

    /// Removes a row from that heap, if it is in it.
    pub(crate) fn unlink_prefill(&mut self, at: u32) {
        if self.rows[at as usize].has_estimated_prefill() {
            let backend = usize::from(self.rows[at as usize].backend);
            heap::remove(
                &mut PrefillOrder(&mut self.rows),
                &mut self.backends[backend].prefilling,
                at,
            );
        }
    }

    /// Gives back the prefill tokens of a row, and returns them. `shown`: its first token has arrived, the
    /// end is not just estimated.
    pub(crate) fn end_prefill(&mut self, at: u32, shown: bool) -> u64 {
        self.unlink_prefill(at);
        let row = &mut self.rows[at as usize];
        let backend = usize::from(row.backend);
        let prefill = std::mem::take(&mut row.resources.prefill);
        self.backends[backend].prefill_rate.count(prefill, shown);
        self.caps.refund(&self.path_of(at), Resources::new(0, prefill, 0));
        self.note_prefill(backend);
        prefill
    }

    /// A row ends that may have had no first token. Without a stream nobody knows how far it was.
    pub(crate) fn note_unfinished_prefill(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        if row.streams != 0 && row.resources.prefill > 0 {
            let (now, taken) = (self.globals.now, self.globals.now - row.granted);
            let rate = &mut self.backends[usize::from(row.backend)].prefill_rate;
            rate.abandoned(row.prefilled_before, taken, now);
        }
    }

    /// Ends the prefills whose estimated time is over.
    pub(crate) fn end_estimated_prefills(&mut self, backend: usize) {
        loop {
            let first = self.backends[backend].prefilling;
            if first == NONE || self.rows[first as usize].prefill_end > self.globals.now {
                return;
            }
            self.end_prefill(first, false);
        }
    }
}
