//! The whole state of admission in shared memory, and what all operations need of it.
//!
//! A [`Ledger`] exists only while the lock is held. Every method is bounded, makes no system call
//! and allocates nothing.

use std::sync::atomic::{AtomicU32, AtomicU64};

use super::backend::{Backend, BackendState};
use super::caps::{CapKind, CapPath, Caps, On};
use super::flow::Flow;
use super::free_rows::FreeRows;
use super::globals::Globals;
use super::part::Part;
use super::parts::Parts;
use super::row::{Row, State};
use super::sizes::{Sizes, TENANTS};
use super::tenant::TenantState;
use super::tier::TierState;
use super::worker::WorkerState;
use crate::api::ids::Ticket;
use crate::learned::lengths::Lengths;
use crate::shm::{Guard, Region};
use crate::time::Nanos;

pub(crate) struct Ledger<'a> {
    pub(crate) globals: Part<'a, Globals>,
    pub(crate) tiers: Part<'a, [TierState]>,
    pub(crate) backends: Part<'a, [BackendState]>,
    pub(crate) caps: Caps<'a>,
    pub(crate) workers: Part<'a, [WorkerState]>,
    pub(crate) rows: Part<'a, [Row]>,
    pub(crate) tenants: Part<'a, [TenantState]>,
    pub(crate) flows: Part<'a, [Flow]>,
    pub(crate) tenant_buckets: Part<'a, [u32]>,
    pub(crate) flow_buckets: Part<'a, [u32]>,
    /// Slots in use by tier and backend.
    pairs: Part<'a, [u32]>,
    pub(crate) lengths: Part<'a, [Lengths]>,
    pub(crate) has_notifications: &'a [AtomicU32],
    pub(crate) loads: &'a [AtomicU64],
    /// Until when bodies must be checked; read without the lock.
    pub(crate) quarantine_until: &'a AtomicU64,
    /// Whether a reservation was cancelled during the present search.
    pub(crate) reservation_cancelled: bool,
}

impl<'a> Ledger<'a> {
    pub(crate) fn open(guard: &'a mut Guard<'_>, parts: &Parts, region: &'a Region) -> Self {
        let (
            globals,
            tiers,
            backends,
            caps,
            workers,
            rows,
            tenants,
            flows,
            buckets,
            pairs,
            lengths,
        ) = guard.split((
            parts.globals,
            parts.tiers,
            parts.backends,
            parts.caps,
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
            globals: Part(&mut globals[0]),
            tiers: Part(tiers),
            backends: Part(backends),
            caps: Caps::new(caps, parts.cap_layout),
            workers: Part(workers),
            rows: Part(rows),
            tenants: Part(tenants),
            flows: Part(flows),
            tenant_buckets: Part(tenant_buckets),
            flow_buckets: Part(flow_buckets),
            pairs: Part(pairs),
            lengths: Part(lengths),
            has_notifications: region.open(parts.has_notifications),
            loads: region.open(parts.loads),
            quarantine_until: &region.open(parts.quarantine_until)[0],
            reservation_cancelled: false,
        }
    }

    /// Writes the initial state into zeroed memory.
    pub(crate) fn begin(&mut self, sizes: &Sizes, now: Nanos) {
        self.globals.free = FreeRows::ALL;
        self.globals.now = now;
        self.globals.random = now | 1;
        for (state, limits) in self.tiers.iter_mut().zip(&sizes.tiers) {
            *state = TierState::new(limits, now);
        }
        for (state, limits) in self.backends.iter_mut().zip(&sizes.backends) {
            *state = BackendState::new(limits, now);
        }
        self.caps.begin(sizes);
        for backend in 0..self.backends.len() {
            self.publish_load(backend);
        }
        for tier in 0..self.tiers.len() {
            self.tiers[tier].group = self.group_of(tier) as u32;
        }
        self.workers.fill(WorkerState::EMPTY);
        self.begin_tenants();
    }

    /// The first tier that shares a backend or node with this one, directly or through others.
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

    /// Time never goes back.
    pub(crate) fn at(&mut self, now: Nanos) -> Nanos {
        self.globals.now = self.globals.now.max(now);
        self.globals.now
    }

    pub(crate) fn find(&self, ticket: Ticket) -> Option<u32> {
        let row = self.rows.get(ticket.row as usize)?;
        let is_it = row.generation() == ticket.generation && row.state() != State::Free;
        is_it.then_some(ticket.row)
    }

    /// The row of a ticket, if it holds a permit.
    pub(crate) fn holder(&self, ticket: Ticket) -> Option<u32> {
        self.find(ticket).filter(|&at| self.rows[at as usize].holds_permit())
    }

    /// A backend with its cap.
    #[inline]
    pub(crate) fn backend(&self, index: usize) -> Backend<'_> {
        Backend { state: &self.backends[index], cap: self.caps.get(CapKind::Backend, index) }
    }

    /// The caps that a row counts under on a backend.
    pub(crate) fn path(&self, row: &Row, backend: usize) -> CapPath {
        self.caps.path(row, Some(On { backend, node: self.backends[backend].node() }))
    }

    /// The caps that a row counts under where it is placed.
    pub(crate) fn path_of(&self, at: u32) -> CapPath {
        let row = &self.rows[at as usize];
        self.path(row, usize::from(row.backend))
    }

    /// Slots of a backend that a tier uses.
    pub(crate) fn pair(&mut self, tier: usize, backend: usize) -> &mut u32 {
        &mut self.pairs[tier * self.backends.len() + backend]
    }

    pub(crate) fn pairs(&self) -> &[u32] {
        &self.pairs
    }

    pub(crate) fn pairs_mut(&mut self) -> &mut [u32] {
        &mut self.pairs
    }

    /// Frees a row, and counts it out of its tenant and flow.
    pub(crate) fn free_row(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        self.tenants[row.tenant as usize].requests -= 1;
        self.flows[row.flow as usize].requests -= 1;
        row.set_state(State::Free);
        self.globals.free.push(&mut self.rows, at);
    }

    /// A pseudorandom number (Marsaglia's xorshift64).
    pub(crate) fn random(&mut self) -> u64 {
        let random = &mut self.globals.random;
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    }
}
