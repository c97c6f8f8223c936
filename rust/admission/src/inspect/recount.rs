//! Every sum, counted from the rows alone.

use crate::api::offer::PRIORITIES;
use crate::limits::caps::Resources;
use crate::state::heap::NONE;
use crate::state::ledger::Ledger;
use crate::state::row::{NO_BACKEND, Row, State};
use crate::time::Nanos;

/// What a tier's queue adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct QueueSums {
    requests: u32,
    slots: u32,
    prefill: u64,
    tokens: u64,
    bytes: u64,
}

/// How much there is to be counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecountSizes {
    pub(crate) tiers: usize,
    pub(crate) backends: usize,
    pub(crate) nodes: usize,
    pub(crate) tenants: usize,
    pub(crate) flows: usize,
}

/// Every sum, counted from the rows alone.
pub(crate) struct Recount {
    pub(crate) states: [u64; 6],
    /// And whether any prompt is read there of which nothing will be heard.
    backends: Vec<(Resources, [u32; PRIORITIES], bool)>,
    /// What is used, and what is promised to those that wait.
    nodes: Vec<(Resources, u32)>,
    tiers: Vec<(Resources, u32, [u32; PRIORITIES])>,
    /// Rows that a backend is kept free for.
    holders: usize,
    pairs: Vec<u32>,
    tenants: Vec<(u32, u32)>,
    queues: Vec<[QueueSums; PRIORITIES]>,
    earliest: Vec<Nanos>,
    /// Requests, those that wait, and whether any does by band.
    flows: Vec<(u32, u32, [bool; PRIORITIES])>,
}

impl Recount {
    /// An empty one. To be made before the lock is taken to fill it: it needs memory.
    pub(crate) fn new(sizes: RecountSizes) -> Self {
        let RecountSizes { tiers, backends, nodes, tenants, flows } = sizes;
        Recount {
            states: [0; 6],
            backends: vec![Default::default(); backends],
            nodes: vec![Default::default(); nodes],
            tiers: vec![Default::default(); tiers],
            holders: 0,
            pairs: vec![0; tiers * backends],
            tenants: vec![(0, 0); tenants],
            queues: vec![Default::default(); tiers],
            earliest: vec![Nanos::MAX; tiers],
            flows: vec![Default::default(); flows],
        }
    }

    pub(crate) fn count_all(&mut self, ledger: &Ledger<'_>) {
        for row in &ledger.rows[..ledger.globals.free.high_water()] {
            self.count(ledger, row);
        }
    }

    fn count(&mut self, ledger: &Ledger<'_>, row: &Row) {
        let state = row.state();
        self.states[state as usize] += 1;
        if state == State::Free {
            return;
        }
        let (tier, priority) = (usize::from(row.tier), usize::from(row.priority));
        self.tenants[row.tenant as usize].1 += 1;
        let flow = &mut self.flows[row.flow as usize];
        flow.0 += 1;
        let resources = row.resources;
        if state == State::Queued {
            flow.1 += 1;
            flow.2[priority] = true;
            self.earliest[tier] = self.earliest[tier].min(row.deadline);
            let queue = &mut self.queues[tier][priority];
            queue.requests += 1;
            queue.slots += resources.slots;
            queue.prefill += resources.prefill;
            queue.tokens += u64::from(row.prompt);
            queue.bytes += row.bytes;
            if row.reserved_backend != NO_BACKEND {
                self.holders += 1;
                self.tiers[tier].1 += resources.slots;
                if let Some(node) = ledger.backends[usize::from(row.reserved_backend)].node() {
                    self.nodes[node].1 += resources.slots;
                }
            }
        }
        if !row.holds_permit() {
            return;
        }
        let backend = usize::from(row.backend);
        let add = |sum: &mut Resources| *sum = sum.plus(resources);
        add(&mut self.backends[backend].0);
        self.backends[backend].1[priority] += resources.slots;
        self.backends[backend].2 |= row.has_estimated_prefill();
        add(&mut self.tiers[tier].0);
        self.tiers[tier].2[priority] += resources.slots;
        if let Some(node) = ledger.backends[backend].node() {
            add(&mut self.nodes[node].0);
        }
        self.pairs[tier * ledger.backends.len() + backend] += resources.slots;
        self.tenants[row.tenant as usize].0 += resources.slots;
    }

    pub(crate) fn agrees_with(&self, ledger: &mut Ledger<'_>) -> bool {
        let backends = ledger.backends.iter().zip(&self.backends);
        let backends = backends.into_iter().all(|(state, sum)| {
            (state.cap.used, state.by_priority, state.prefilling != NONE) == *sum
        });
        let nodes = ledger.nodes.iter().zip(&self.nodes);
        let nodes = nodes.into_iter().all(|(cap, sum)| (cap.used, cap.reserved) == *sum);
        let held = ledger.backends.iter().filter(|state| state.reserved_for != NONE).count();
        let tiers = ledger.tiers.iter().zip(&self.tiers);
        let tiers = tiers.into_iter().all(|(state, sum)| {
            (state.cap.used, state.cap.reserved, state.priorities.map(|priority| priority.used))
                == *sum
        });
        let tenants = ledger.tenants.iter().zip(&self.tenants);
        let tenants = tenants.into_iter().all(|(state, sum)| (state.used, state.requests) == *sum);
        let pairs = *ledger.pairs_mut() == self.pairs;
        let trials = ledger.backends.iter().enumerate().all(|(at, state)| {
            let tries = |row: &Row| row.trial != 0 && row.holds_permit();
            let trial = state.outage.trial;
            let is_there = trial == NONE || {
                let row = &ledger.rows[trial as usize];
                tries(row) && usize::from(row.backend) == at
            };
            is_there && (state.outage.is_active() || trial == NONE)
        });
        let held = held == self.holders && held == ledger.globals.reservations as usize;
        backends
            && nodes
            && held
            && tiers
            && tenants
            && pairs
            && trials
            && self.queues_agree_with(ledger)
    }

    fn queues_agree_with(&self, ledger: &Ledger<'_>) -> bool {
        let tiers = ledger.tiers.iter().enumerate().all(|(at, state)| {
            let priorities = &self.queues[at];
            let total = |part: fn(&QueueSums) -> u64| priorities.iter().map(part).sum::<u64>();
            u64::from(state.requests) == total(|priority| u64::from(priority.requests))
                && state.tokens == total(|priority| priority.tokens)
                && state.bytes == total(|priority| priority.bytes)
                && state.earliest <= self.earliest[at]
                && (ledger.globals.waiting & 1 << at != 0) == (state.requests > 0)
                && state.priorities.iter().zip(priorities).all(|(priority, sum)| {
                    (priority.requests, priority.slots, priority.prefill)
                        == (sum.requests, sum.slots, sum.prefill)
                })
        });
        let flows =
            ledger.flows.iter().zip(&self.flows).all(|(flow, &(requests, waiting, priorities))| {
                (flow.requests, flow.waiting) == (requests, waiting)
                    && priorities.iter().enumerate().all(|(priority, &has_rows)| {
                        !flow.is_used()
                            || has_rows == (flow.heads[priority] != NONE)
                                && (flow.is_parked(priority)
                                    || has_rows == flow.is_linked(priority))
                    })
            });
        tiers && flows
    }
}
