//! A worker has died: its permits come back, but only after its backends had time to stop.

use crate::api::ids::Owner;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::Nanos;

impl Ledger<'_> {
    /// Begins a new generation of a worker, and returns it.
    pub(crate) fn begin_worker(&mut self, worker: u16) -> u16 {
        let state = &mut self.workers[usize::from(worker)];
        state.generation = state.generation.wrapping_add(1);
        state.unread_for = 0;
        state.generation
    }

    /// Ends one generation of a worker. Its waiting requests are dropped, as their clients are gone; its
    /// running ones count until the abort grace of their backend is over.
    pub(crate) fn reclaim(&mut self, dead: Owner, now: Nanos) {
        let now = self.at(now);
        for at in 0..self.globals.free.high_water() as u32 {
            let row = &self.rows[at as usize];
            if row.owner != dead {
                continue;
            }
            match row.state() {
                State::Free => {}
                State::Queued => {
                    self.dequeue(at);
                    self.finish(at);
                }
                // Its owner never sent it to the backend.
                State::Granted => self.end_unused_permit(at),
                State::Refused => self.free_row(at),
                State::Running | State::Closing => {
                    let grace = self.backends[usize::from(row.backend)].abort_grace;
                    let row = &mut self.rows[at as usize];
                    row.until = now + grace;
                    // The state comes first: no one would find a running row without an owner.
                    row.set_state(State::Closing);
                    row.owner = Owner::NOBODY;
                    self.globals.orphans += 1;
                }
            }
        }
        // Its notifications were for the dead worker; the new one has none.
        self.workers[usize::from(dead.worker)].clear();
        self.dispatch();
        // The dead worker may have granted something and died before it woke the owner.
        self.globals.wake = u64::MAX >> (64 - self.workers.len().max(1));
    }

    /// Frees the rows of dead workers whose grace is over.
    pub(crate) fn end_orphans(&mut self, now: Nanos) {
        for at in 0..self.globals.free.high_water() as u32 {
            let row = &self.rows[at as usize];
            if row.owner == Owner::NOBODY && row.state() == State::Closing && row.until <= now {
                self.globals.orphans -= 1;
                self.end_permit(at);
            }
        }
    }
}
