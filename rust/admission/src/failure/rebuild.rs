//! Recomputes everything that is derived from the rows, after a holder of the lock died in the middle of an
//! operation.

use crate::api::ids::Owner;
use crate::api::offer::PRIORITIES;
use crate::state::flow::Flow;
use crate::state::free_rows::FreeRows;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, State};
use crate::time::Nanos;

impl Ledger<'_> {
    pub(crate) fn rebuild(&mut self) {
        self.clear_derived();
        let mut live = 0;
        for at in (0..self.rows.len() as u32).rev() {
            let state = self.rows[at as usize].state();
            if state == State::Free {
                continue;
            }
            let row = &mut self.rows[at as usize];
            let (tenant, flow) = (row.tenant as usize, row.flow as usize);
            self.globals.sequence = self.globals.sequence.max(row.sequence);
            self.tenants[tenant].requests += 1;
            self.flows[flow].requests += 1;
            live += u64::from(state != State::Refused);
            if row.holds_permit() {
                self.globals.orphans += u32::from(row.owner == Owner::NOBODY);
                self.charge_caps(at);
                self.link_prefill(at);
            }
        }
        // A second pass: the order of a queue depends on what its flows were served, and a notification
        // must not lead to a row that is not counted yet.
        let mut high_water = 0;
        for at in 0..self.rows.len() as u32 {
            match self.rows[at as usize].state() {
                State::Queued => {
                    self.count_queued(at);
                    self.restore_reservation(at);
                }
                State::Granted | State::Refused => self.notify(at),
                State::Free => continue,
                State::Running | State::Closing => {}
            }
            high_water = at + 1;
        }
        self.globals.free = FreeRows::up_to(high_water);
        for at in (0..high_water).rev() {
            if self.rows[at as usize].state() == State::Free {
                self.globals.free.push(&mut self.rows, at);
            }
        }
        for tier in &mut *self.tiers {
            if tier.requests == 0 {
                tier.note_empty(self.globals.now);
            }
        }
        self.globals.arrived = self.globals.finished + live;
        self.dispatch();
        self.globals.wake = u64::MAX >> (64 - self.workers.len().max(1));
    }

    /// Renews the reservation that a waiting row had.
    fn restore_reservation(&mut self, at: u32) {
        let reserved_backend =
            std::mem::replace(&mut self.rows[at as usize].reserved_backend, NO_BACKEND);
        if reserved_backend != NO_BACKEND
            && self.backends[usize::from(reserved_backend)].reserved_for == NONE
        {
            self.reserve(at, reserved_backend);
        }
    }

    /// Empties every index and every sum.
    fn clear_derived(&mut self) {
        self.globals.waiting = 0;
        self.globals.orphans = 0;
        self.globals.reservations = 0;
        self.caps.clear();
        self.pairs_mut().fill(0);
        for backend in &mut *self.backends {
            backend.by_priority = [0; PRIORITIES];
            backend.reserved_for = NONE;
            backend.prefilling = NONE;
            backend.outage.trial = NONE;
        }
        for tier in &mut *self.tiers {
            (tier.requests, tier.tokens, tier.bytes) = (0, 0, 0);
            tier.earliest = Nanos::MAX;
            for priority in &mut tier.priorities {
                priority.clear();
            }
        }
        for worker in &mut *self.workers {
            worker.clear();
        }
        for tenant in &mut *self.tenants {
            (tenant.requests, tenant.parked) = (0, 0);
            tenant.weight = tenant.weight.max(1);
        }
        self.flows.iter_mut().filter(|flow| flow.is_used()).for_each(Flow::clear);
        let globals = &mut *self.globals;
        globals.tenants.rebuild(&mut self.tenant_buckets, &mut self.tenants);
        globals.flows.rebuild(&mut self.flow_buckets, &mut self.flows);
    }
}
