//! The whole state of admission as it lies in memory, and what all of its parts need of it.
//!
//! A [`Ledger`] exists only while the lock is held. Every method is bounded, makes no system call
//! and allocates nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::accounts::{Directory, Flow, TenantState, UNKNOWN_KEY};
use super::backend::BackendState;
use super::caps::Cap;
use super::deaths::Deaths;
use super::heap::NONE;
use super::lengths::Lengths;
use super::load::Load;
use super::mail::WorkerState;
use super::offer::{Tenant, Ticket};
use super::parts::{Parts, Sizes, TENANTS};
use super::row::{FreeRows, Row};
use super::tier::TierState;
use crate::index::TierIndex;
use crate::shm::{Guard, Region, plain};
use crate::time::Nanos;

/// What there is one of.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Board {
    pub(super) free: FreeRows,
    pub(super) tenants: Directory,
    pub(super) flows: Directory,
    /// Tiers with something waiting, bit by bit.
    pub(super) waiting: u64,
    /// Workers to be woken once the lock is free, bit by bit.
    pub(super) wake: u64,
    pub(super) sequence: u64,
    pub(super) grants: u64,
    pub(super) arrived: u64,
    pub(super) finished: u64,
    /// The latest time seen: a clock that jumps back is not believed.
    pub(super) now: Nanos,
    pub(super) ticked: Nanos,
    pub(super) random: u64,
    /// Rows of dead workers whose grace runs.
    pub(super) orphans: u32,
    /// Backends that are kept free.
    pub(super) held: u32,
    pub(super) deaths: Deaths,
}

plain!(Board);

pub(super) struct Ledger<'a> {
    pub(super) board: &'a mut Board,
    pub(super) tiers: &'a mut [TierState],
    pub(super) backends: &'a mut [BackendState],
    pub(super) nodes: &'a mut [Cap],
    pub(super) workers: &'a mut [WorkerState],
    pub(super) rows: &'a mut [Row],
    pub(super) tenants: &'a mut [TenantState],
    pub(super) flows: &'a mut [Flow],
    pub(super) tenant_buckets: &'a mut [u32],
    pub(super) flow_buckets: &'a mut [u32],
    /// Slots used by tier and backend.
    pairs: &'a mut [u32],
    pub(super) lengths: &'a mut [Lengths],
    pub(super) mail: &'a [AtomicU32],
    loads: &'a [AtomicU64],
    /// Until when bodies are to be looked at, for those who do not take the lock.
    pub(super) suspicious_until: &'a AtomicU64,
    /// Whether a backend is no longer kept free, since this was looked at.
    pub(super) has_let_go: bool,
}

impl<'a> Ledger<'a> {
    pub(super) fn open(guard: &'a mut Guard<'_>, parts: &Parts, region: &'a Region) -> Self {
        let (board, tiers, backends, nodes, workers, rows, tenants, flows, buckets, pairs, lengths) =
            guard.split((
                parts.board,
                parts.tiers,
                parts.backends,
                parts.nodes,
                parts.workers,
                parts.rows,
                parts.tenants,
                parts.flows,
                parts.buckets,
                parts.pairs,
                parts.lengths,
            ));
        let (tenant_buckets, flow_buckets) = buckets.split_at_mut(TENANTS);
        Ledger {
            board: &mut board[0],
            tiers,
            backends,
            nodes,
            workers,
            rows,
            tenants,
            flows,
            tenant_buckets,
            flow_buckets,
            pairs,
            lengths,
            mail: region.open(parts.mail),
            loads: region.open(parts.loads),
            suspicious_until: &region.open(parts.suspicious_until)[0],
            has_let_go: false,
        }
    }

    /// Writes the initial state into zeroed memory.
    pub(super) fn begin(&mut self, sizes: &Sizes, now: Nanos) {
        self.board.free = FreeRows::ALL;
        self.board.now = now;
        self.board.random = now | 1;
        for (state, limits) in self.tiers.iter_mut().zip(&sizes.tiers) {
            *state = TierState::new(limits, now);
        }
        for (state, limits) in self.backends.iter_mut().zip(&sizes.backends) {
            *state = BackendState::new(limits, now);
        }
        for backend in 0..self.backends.len() {
            self.publish(backend);
        }
        for (cap, &limit) in self.nodes.iter_mut().zip(&sizes.nodes) {
            *cap = Cap::new(limit);
        }
        for tier in 0..self.tiers.len() {
            self.tiers[tier].group = self.group_of(tier) as u32;
        }
        self.workers.fill(WorkerState::EMPTY);
        self.tenant(&Tenant::UNKNOWN);
        for tier in 0..self.tiers.len() {
            self.flow(0, tier as TierIndex);
        }
    }

    /// The first tier that shares a GPU with this one, directly or through others.
    fn group_of(&self, tier: usize) -> usize {
        let shares = |one: usize, other: usize| {
            self.tiers[one].backends.iter().any(|a| {
                self.tiers[other].backends.iter().any(|b| {
                    let node = self.backends[a].node();
                    a == b || node.is_some() && node == self.backends[b].node()
                })
            })
        };
        let mut known = 1u64 << tier;
        loop {
            let is_near = |&other: &usize| {
                (0..self.tiers.len()).any(|one| known & 1 << one != 0 && shares(one, other))
            };
            let more = (0..self.tiers.len()).filter(is_near).fold(known, |all, one| all | 1 << one);
            if more == known {
                return known.trailing_zeros() as usize;
            }
            known = more;
        }
    }

    /// Time goes only forward.
    pub(super) fn at(&mut self, now: Nanos) -> Nanos {
        self.board.now = self.board.now.max(now);
        self.board.now
    }

    /// The tenant's place; 0 if there is none for it.
    pub(super) fn tenant(&mut self, tenant: &Tenant) -> u32 {
        let found = self.find_tenant(tenant).or_else(|| {
            let key = tenant.key.max(UNKNOWN_KEY);
            let at = self.board.tenants.place(self.tenant_buckets, self.tenants)?;
            self.tenants[at as usize] = TenantState::new(key);
            self.forget_flows(at);
            Directory::link(self.tenant_buckets, self.tenants, at);
            Some(at)
        });
        let at = found.unwrap_or(0);
        self.tenants[at as usize].last = self.board.arrived;
        if at != 0 && self.tenants[at as usize].update(tenant) {
            self.unpark(at);
        }
        at
    }

    /// A place has a new tenant, who does not inherit what the one before was served.
    fn forget_flows(&mut self, tenant: u32) {
        for tier in 0..self.tiers.len() {
            if let Some(flow) = self.find_flow(tenant, tier as TierIndex) {
                self.flows[flow as usize].service = 0;
            }
        }
    }

    pub(super) fn find_tenant(&mut self, tenant: &Tenant) -> Option<u32> {
        Directory::find(self.tenant_buckets, self.tenants, tenant.key.max(UNKNOWN_KEY))
    }

    /// The flow of a tenant in a tier; that of the unknown if there is no place for it.
    pub(super) fn flow(&mut self, tenant: u32, tier: TierIndex) -> u32 {
        let key = Flow::key_of(tenant, tier);
        if let Some(at) = Directory::find(self.flow_buckets, self.flows, key) {
            return at;
        }
        match self.board.flows.place(self.flow_buckets, self.flows) {
            Some(at) => {
                self.flows[at as usize] = Flow::new(tenant, tier);
                Directory::link(self.flow_buckets, self.flows, at);
                at
            }
            None => self.find_flow(0, tier).unwrap_or(0),
        }
    }

    pub(super) fn find_flow(&mut self, tenant: u32, tier: TierIndex) -> Option<u32> {
        Directory::find(self.flow_buckets, self.flows, Flow::key_of(tenant, tier))
    }

    pub(super) fn find(&self, ticket: Ticket) -> Option<u32> {
        let row = self.rows.get(ticket.row as usize)?;
        let is_it = row.generation() == ticket.generation && row.state() != super::row::State::Free;
        is_it.then_some(ticket.row)
    }

    /// The row of a ticket that holds a permit.
    pub(super) fn holder(&self, ticket: Ticket) -> Option<u32> {
        self.find(ticket).filter(|&at| self.rows[at as usize].holds_permit())
    }

    /// Slots that a tier uses of a backend.
    pub(super) fn pair(&mut self, tier: usize, backend: usize) -> &mut u32 {
        &mut self.pairs[tier * self.backends.len() + backend]
    }

    pub(super) fn pairs_mut(&mut self) -> &mut [u32] {
        self.pairs
    }

    /// Counts a row under everything that limits it: backend, node, tier, band, tenant.
    pub(super) fn take_room(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (resources, band, tenant) = (row.resources, usize::from(row.band), row.tenant);
        let (tier, backend) = (usize::from(row.tier), usize::from(row.backend));
        let is_trial = row.trial != 0;
        self.each_cap(at, |cap| cap.take(resources));
        self.backends[backend].by_band[band] += resources.slots;
        self.tiers[tier].bands[band].used += resources.slots;
        if is_trial {
            self.backends[backend].outage.trial = at;
        }
        self.tenants[tenant as usize].used += resources.slots;
        *self.pair(tier, backend) += resources.slots;
        self.publish(backend);
    }

    pub(super) fn give_room(&mut self, at: u32) {
        self.unlink_reading(at);
        let row = &self.rows[at as usize];
        let (resources, band, tenant) = (row.resources, usize::from(row.band), row.tenant);
        let (tier, backend) = (usize::from(row.tier), usize::from(row.backend));
        self.each_cap(at, |cap| cap.give_back(resources));
        self.backends[backend].by_band[band] -= resources.slots;
        self.tiers[tier].bands[band].used -= resources.slots;
        self.tenants[tenant as usize].used -= resources.slots;
        *self.pair(tier, backend) -= resources.slots;
        self.rows[at as usize].trial = 0;
        let state = &mut self.backends[backend];
        if state.outage.trial == at {
            state.outage.trial = NONE;
        }
        state.note_reading(self.board.now);
        self.publish(backend);
    }

    /// Tells how full a backend is, for those who choose candidates without the lock.
    pub(super) fn publish(&mut self, backend: usize) {
        let load = Load::of(&self.backends[backend], self.board.now);
        self.loads[backend].store(load.word(), Ordering::Relaxed);
    }

    /// Runs over the caps that a placed row counts under.
    pub(super) fn each_cap(&mut self, at: u32, mut change: impl FnMut(&mut Cap)) {
        let row = &self.rows[at as usize];
        change(&mut self.tiers[usize::from(row.tier)].cap);
        let backend = &mut self.backends[usize::from(row.backend)];
        change(&mut backend.cap);
        if let Some(node) = backend.node() {
            change(&mut self.nodes[node]);
        }
    }

    /// Gives a row back, and forgets that its tenant and flow had it.
    pub(super) fn free(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        self.tenants[row.tenant as usize].requests -= 1;
        self.flows[row.flow as usize].requests -= 1;
        row.set_state(super::row::State::Free);
        self.board.free.give_back(self.rows, at);
    }

    /// A number that is as good as random (Marsaglia's xorshift64).
    pub(super) fn random(&mut self) -> u64 {
        let random = &mut self.board.random;
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    }
}
