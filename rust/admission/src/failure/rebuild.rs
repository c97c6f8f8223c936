//! Everything that is derived, made anew from the rows in one pass: after a holder of the lock has
//! died in the middle of a change.

use crate::api::ids::Owner;
use crate::api::offer::BANDS;
use crate::limits::caps::Resources;
use crate::state::flow::Flow;
use crate::state::free_rows::FreeRows;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, State};
use crate::time::Nanos;

impl Ledger<'_> {
    pub(crate) fn rebuild(&mut self) {
        self.forget();
        let mut live = 0;
        for at in (0..self.rows.len() as u32).rev() {
            let state = self.rows[at as usize].state();
            if state == State::Free {
                continue;
            }
            let row = &mut self.rows[at as usize];
            let (tenant, flow) = (row.tenant as usize, row.flow as usize);
            self.board.sequence = self.board.sequence.max(row.sequence);
            self.tenants[tenant].requests += 1;
            self.flows[flow].requests += 1;
            live += u64::from(state != State::Refused);
            if row.holds_permit() {
                self.board.orphans += u32::from(row.owner == Owner::NOBODY);
                self.take_room(at);
                self.link_reading(at);
            }
        }
        // In a second pass, because a queue's order goes by what flows were served, and a mailbox
        // must not lead to rows that are not counted yet.
        let mut touched = 0;
        for at in 0..self.rows.len() as u32 {
            match self.rows[at as usize].state() {
                State::Queued => {
                    self.count_in(at);
                    self.hold_again(at);
                }
                State::Granted | State::Refused => self.post(at),
                State::Free => continue,
                State::Running | State::Closing => {}
            }
            touched = at + 1;
        }
        self.board.free = FreeRows::up_to(touched);
        for at in (0..touched).rev() {
            if self.rows[at as usize].state() == State::Free {
                self.board.free.give_back(self.rows, at);
            }
        }
        for tier in &mut *self.tiers {
            if tier.requests == 0 {
                tier.note_empty(self.board.now);
            }
        }
        self.board.arrived = self.board.finished + live;
        self.dispatch();
        self.board.wake = u64::MAX >> (64 - self.workers.len().max(1));
    }

    /// A waiting row that a backend was kept free for has it kept free again.
    fn hold_again(&mut self, at: u32) {
        let holds = std::mem::replace(&mut self.rows[at as usize].holds, NO_BACKEND);
        if holds != NO_BACKEND && self.backends[usize::from(holds)].held_for == NONE {
            self.keep_free(at, holds);
        }
    }

    /// Empties every index and every sum.
    fn forget(&mut self) {
        self.board.waiting = 0;
        self.board.orphans = 0;
        self.board.held = 0;
        self.pairs_mut().fill(0);
        for backend in &mut *self.backends {
            backend.cap.used = Resources::default();
            backend.by_band = [0; BANDS];
            backend.held_for = NONE;
            backend.reading = NONE;
            backend.outage.trial = NONE;
        }
        for node in &mut *self.nodes {
            (node.used, node.promised) = (Resources::default(), 0);
        }
        for tier in &mut *self.tiers {
            (tier.cap.used, tier.cap.promised) = (Resources::default(), 0);
            (tier.requests, tier.tokens, tier.bytes) = (0, 0, 0);
            tier.earliest = Nanos::MAX;
            for band in &mut tier.bands {
                band.forget();
            }
        }
        for worker in &mut *self.workers {
            worker.empty();
        }
        for tenant in &mut *self.tenants {
            (tenant.used, tenant.requests, tenant.parked) = (0, 0, 0);
            tenant.weight = tenant.weight.max(1);
        }
        self.flows.iter_mut().filter(|flow| flow.is_used()).for_each(Flow::empty);
        let board = &mut *self.board;
        board.tenants.rebuild(self.tenant_buckets, self.tenants);
        board.flows.rebuild(self.flow_buckets, self.flows);
    }
}
