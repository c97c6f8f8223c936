//! A worker has died: what it held comes back, but no sooner than its backends have let go.

use crate::api::ids::Owner;
use crate::state::ledger::Ledger;
use crate::state::row::State;
use crate::time::Nanos;

impl Ledger<'_> {
    /// A new life of a worker. Returns its generation.
    pub(crate) fn begin_worker(&mut self, worker: u16) -> u16 {
        let state = &mut self.workers[usize::from(worker)];
        state.generation = state.generation.wrapping_add(1);
        state.unread_for = 0;
        state.generation
    }

    /// Ends one life of a worker. Its waiting requests are gone with their clients; what it ran
    /// counts until the backend's abort grace is over.
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
                // It never left for the backend.
                State::Granted => self.end_unused_permit(at),
                State::Refused => self.free_row(at),
                State::Running | State::Closing => {
                    let grace = self.backends[usize::from(row.backend)].abort_grace;
                    let row = &mut self.rows[at as usize];
                    row.until = now + grace;
                    // First the state: nobody would look for a running row without an owner.
                    row.set_state(State::Closing);
                    row.owner = Owner::NOBODY;
                    self.globals.orphans += 1;
                }
            }
        }
        // The mail was for the life that is over; a new one has none yet.
        self.workers[usize::from(dead.worker)].clear();
        self.dispatch();
        // The dead may have granted something and not lived to wake its owner.
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
