//! Every sum that admission keeps, counted anew from the rows alone.

use crate::api::ids::Owner;
use crate::api::offer::PRIORITIES;
use crate::limits::caps::{Cap, Resources};
use crate::state::caps::Caps;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, Row, State};
use crate::time::Nanos;

/// Names a sum, list or heap that does not agree with the rows.
pub(crate) type Disagreement = &'static str;

/// How many counters there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecountSizes {
    tiers: usize,
    backends: usize,
    caps: usize,
    tenants: usize,
    flows: usize,
}

impl RecountSizes {
    pub(crate) fn of(ledger: &Ledger<'_>) -> Self {
        RecountSizes {
            tiers: ledger.tiers.len(),
            backends: ledger.backends.len(),
            caps: ledger.caps.of_tenants(ledger.globals.tenants.high_water()).len(),
            tenants: ledger.globals.tenants.high_water(),
            flows: ledger.globals.flows.high_water(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct CapSums {
    used: Resources,
    reserved: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct BackendSums {
    by_priority: [u32; PRIORITIES],
    has_estimated_prefill: bool,
}

/// What waits in a tier with one priority.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct QueueSums {
    requests: u32,
    slots: u32,
    prefill: u64,
    tokens: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct TierSums {
    used: [u32; PRIORITIES],
    queue: [QueueSums; PRIORITIES],
    earliest: Nanos,
}

#[derive(Debug, Clone, Copy, Default)]
struct FlowSums {
    requests: u32,
    waiting: u32,
    /// Whether any request waits, by priority.
    waits: [bool; PRIORITIES],
}

/// The counters as they should be, by the rows.
pub(crate) struct Recount {
    /// Rows by state.
    states: [u64; State::COUNT],
    caps: Vec<CapSums>,
    backends: Vec<BackendSums>,
    tiers: Vec<TierSums>,
    /// Slots by tier and backend.
    pairs: Vec<u32>,
    /// Requests of each tenant.
    tenants: Vec<u32>,
    flows: Vec<FlowSums>,
    reservations: u32,
    orphans: u32,
}

impl Recount {
    /// All counters at 0. It allocates, which is not allowed while the lock is held.
    pub(crate) fn new(sizes: RecountSizes) -> Self {
        let RecountSizes { tiers, backends, caps, tenants, flows } = sizes;
        let tier =
            TierSums { used: [0; PRIORITIES], queue: Default::default(), earliest: Nanos::MAX };
        Recount {
            states: [0; State::COUNT],
            caps: vec![CapSums::default(); caps],
            backends: vec![BackendSums::default(); backends],
            tiers: vec![tier; tiers],
            pairs: vec![0; tiers * backends],
            tenants: vec![0; tenants],
            flows: vec![FlowSums::default(); flows],
            reservations: 0,
            orphans: 0,
        }
    }

    pub(crate) fn rows_in(&self, state: State) -> u64 {
        self.states[state as usize]
    }

    /// Counts all rows. Fails at the first row whose tenant, flow or owner cannot be.
    pub(crate) fn count_all(&mut self, ledger: &Ledger<'_>) -> Result<(), Disagreement> {
        let rows = &ledger.rows[..ledger.globals.free.high_water()];
        rows.iter().try_for_each(|row| self.count(ledger, row))
    }

    fn count(&mut self, ledger: &Ledger<'_>, row: &Row) -> Result<(), Disagreement> {
        let state = row.state();
        self.states[state as usize] += 1;
        if state == State::Free {
            return Ok(());
        }
        // Tenants and flows that came after this was made are not counted.
        let tenant = self.tenants.get_mut(row.tenant as usize).ok_or("a row's tenant")?;
        let flow = self.flows.get_mut(row.flow as usize).ok_or("a row's flow")?;
        *tenant += 1;
        flow.requests += 1;
        let is_orphan = row.owner == Owner::NOBODY;
        if is_orphan && state != State::Closing
            || !is_orphan && usize::from(row.owner.worker) >= ledger.workers.len()
        {
            return Err("a row's owner");
        }
        self.orphans += u32::from(is_orphan);
        if state == State::Queued {
            self.count_queued(ledger, row);
        } else if row.holds_permit() {
            self.count_permit(ledger, row);
        }
        Ok(())
    }

    fn count_queued(&mut self, ledger: &Ledger<'_>, row: &Row) {
        let (tier, priority) = (usize::from(row.tier), usize::from(row.priority));
        let flow = &mut self.flows[row.flow as usize];
        flow.waiting += 1;
        flow.waits[priority] = true;
        let tier = &mut self.tiers[tier];
        tier.earliest = tier.earliest.min(row.deadline);
        let queue = &mut tier.queue[priority];
        queue.requests += 1;
        queue.slots += row.resources.slots;
        queue.prefill += row.resources.prefill;
        queue.tokens += u64::from(row.prompt);
        queue.bytes += row.bytes;
        if row.reserved_backend != NO_BACKEND {
            self.reservations += 1;
            let path = ledger.path(row, usize::from(row.reserved_backend));
            Caps::each_reserved(&path, |cap| self.caps[cap].reserved += row.resources.slots);
        }
    }

    fn count_permit(&mut self, ledger: &Ledger<'_>, row: &Row) {
        let (tier, priority) = (usize::from(row.tier), usize::from(row.priority));
        let backend = usize::from(row.backend);
        for cap in ledger.path(row, backend).iter() {
            self.caps[cap].used = self.caps[cap].used.plus(row.resources);
        }
        self.backends[backend].by_priority[priority] += row.resources.slots;
        self.backends[backend].has_estimated_prefill |= row.has_estimated_prefill();
        self.tiers[tier].used[priority] += row.resources.slots;
        self.pairs[tier * ledger.backends.len() + backend] += row.resources.slots;
    }

    /// Compares every counter of the ledger with these.
    pub(crate) fn compare(&self, ledger: &Ledger<'_>) -> Result<(), Disagreement> {
        let globals = &ledger.globals;
        let reservations = ledger.backends.iter().filter(|state| state.reserved_for != NONE);
        agree(reservations.count() == self.reservations as usize, "reserved backends")?;
        agree(globals.reservations == self.reservations, "the count of reservations")?;
        agree(globals.orphans == self.orphans, "the count of orphans")?;
        self.compare_caps(ledger)?;
        self.compare_backends(ledger)?;
        self.compare_tiers(ledger)?;
        self.compare_tenants(ledger)
    }

    fn compare_caps(&self, ledger: &Ledger<'_>) -> Result<(), Disagreement> {
        let caps = ledger.caps.all.iter().zip(&self.caps);
        let is_right = |(cap, sums): (&Cap, &CapSums)| {
            CapSums { used: cap.used, reserved: cap.reserved } == *sums
        };
        agree(caps.into_iter().all(is_right), "what is used under a cap")
    }

    fn compare_backends(&self, ledger: &Ledger<'_>) -> Result<(), Disagreement> {
        agree(ledger.pairs() == self.pairs, "slots by tier and backend")?;
        for (at, (state, sums)) in ledger.backends.iter().zip(&self.backends).enumerate() {
            agree(state.by_priority == sums.by_priority, "slots of a backend by priority")?;
            let has_prefill = state.prefilling != NONE;
            agree(has_prefill == sums.has_estimated_prefill, "estimated prefills of a backend")?;
            let trial = state.outage.trial;
            if trial != NONE {
                let row = &ledger.rows[trial as usize];
                let is_there = row.trial != 0 && row.holds_permit();
                agree(is_there && usize::from(row.backend) == at, "the trial of a backend")?;
                agree(state.outage.is_active(), "a trial without an outage")?;
            }
        }
        Ok(())
    }

    fn compare_tiers(&self, ledger: &Ledger<'_>) -> Result<(), Disagreement> {
        for (at, (state, sums)) in ledger.tiers.iter().zip(&self.tiers).enumerate() {
            let total = |part: fn(&QueueSums) -> u64| sums.queue.iter().map(part).sum::<u64>();
            let requests = total(|queue| u64::from(queue.requests));
            agree(u64::from(state.requests) == requests, "requests in a queue")?;
            agree(state.tokens == total(|queue| queue.tokens), "tokens in a queue")?;
            agree(state.bytes == total(|queue| queue.bytes), "bytes in a queue")?;
            agree(state.earliest <= sums.earliest, "the earliest deadline of a queue")?;
            let waits = ledger.globals.waiting & 1 << at != 0;
            agree(waits == (requests > 0), "the bit of a tier that waits")?;
            for (priority, state) in state.priorities.iter().enumerate() {
                let queue = &sums.queue[priority];
                let queued = (state.requests, state.slots, state.prefill);
                let is_right = queued == (queue.requests, queue.slots, queue.prefill);
                agree(is_right, "a queue by priority")?;
                agree(state.used == sums.used[priority], "slots of a tier by priority")?;
            }
        }
        Ok(())
    }

    fn compare_tenants(&self, ledger: &Ledger<'_>) -> Result<(), Disagreement> {
        for (state, &requests) in ledger.tenants.iter().zip(&self.tenants) {
            agree(state.requests == requests, "requests of a tenant")?;
        }
        for (flow, sums) in ledger.flows.iter().zip(&self.flows) {
            let counts = (flow.requests, flow.waiting);
            agree(counts == (sums.requests, sums.waiting), "requests of a flow")?;
            for (priority, &waits) in sums.waits.iter().enumerate().filter(|_| flow.is_used()) {
                agree(waits == (flow.heads[priority] != NONE), "the heap of a flow")?;
                let is_ready = flow.is_parked(priority) || waits == flow.is_linked(priority);
                agree(is_ready, "a flow that is neither ready nor parked")?;
            }
        }
        Ok(())
    }
}

fn agree(is_right: bool, what: Disagreement) -> Result<(), Disagreement> {
    if is_right { Ok(()) } else { Err(what) }
}
