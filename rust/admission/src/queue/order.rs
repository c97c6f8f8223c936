//! The queue of a tier: priorities, flows in each, rows in each.
//!
//! In a priority the flow that was served least goes first. In a flow the row with the earliest deadline
//! goes first, and of equal ones the older.

use crate::state::heap::{self, Elements, NONE, Node};
use crate::state::ledger::Ledger;
use crate::state::row::Row;

/// Rows in the order of their deadlines.
pub(crate) struct Deadlines<'a>(pub(crate) &'a mut [Row]);

impl Elements for Deadlines<'_> {
    fn node(&self, at: u32) -> &Node {
        &self.0[at as usize].node
    }
    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.0[at as usize].node
    }
    fn is_before(&self, one: u32, other: u32) -> bool {
        let key = |at: u32| {
            let row = &self.0[at as usize];
            (row.deadline, row.sequence)
        };
        key(one) < key(other)
    }
}

impl Ledger<'_> {
    /// Puts a row into its queue. A flow, priority or tier that was idle is lifted to the service of the
    /// others: it is owed nothing for its idle time (VTC, arXiv 2401.00588).
    pub(crate) fn enqueue(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (tier, priority, flow) =
            (usize::from(row.tier), usize::from(row.priority), row.flow as usize);
        let group_clock = self.tiers[self.tiers[tier].group as usize].group_clock;
        self.lift_priority(tier, priority);
        let state = &mut self.tiers[tier];
        if state.requests == 0 {
            state.service = state.service.max(group_clock);
        }
        if self.flows[flow].waiting == 0 {
            self.flows[flow].service = self.flows[flow].service.max(state.flow_clock);
        }
        self.count_queued(at);
    }

    /// Counts a row as waiting, and puts it into the order.
    pub(crate) fn count_queued(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (index, priority, flow) = (usize::from(row.tier), usize::from(row.priority), row.flow);
        let slots = row.resources.slots;
        let tier = &mut self.tiers[index];
        if tier.requests == 0 {
            tier.speed.set_demand(true, self.globals.now);
        }
        tier.requests += 1;
        tier.tokens += u64::from(row.prompt);
        tier.bytes += row.bytes;
        tier.earliest = tier.earliest.min(row.deadline);
        self.globals.waiting |= 1 << index;
        self.flows[flow as usize].waiting += 1;
        self.flows[flow as usize].waiting_slots += slots;
        self.link_row(at, priority);
    }

    fn lift_priority(&mut self, tier: usize, priority: usize) {
        let priority_clock = self.tiers[tier].priority_clock;
        let state = &mut self.tiers[tier].priorities[priority];
        if state.requests == 0 {
            state.service = state.service.max(priority_clock);
        }
    }

    /// Removes a row from its queue, wherever it is.
    pub(crate) fn dequeue(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (index, priority, flow) = (usize::from(row.tier), usize::from(row.priority), row.flow);
        let slots = row.resources.slots;
        let tier = &mut self.tiers[index];
        tier.requests -= 1;
        tier.tokens -= u64::from(row.prompt);
        tier.bytes -= row.bytes;
        self.flows[flow as usize].waiting -= 1;
        self.flows[flow as usize].waiting_slots -= slots;
        self.unlink_row(at, priority);
        self.cancel_reservation(at);
        let tier = &mut self.tiers[index];
        if tier.requests == 0 {
            tier.note_empty(self.globals.now);
            self.globals.waiting &= !(1 << index);
        }
    }

    /// Raises a row by one priority.
    pub(crate) fn raise_priority(&mut self, at: u32) {
        let row = &self.rows[at as usize];
        let (tier, priority) = (usize::from(row.tier), usize::from(row.priority));
        self.unlink_row(at, priority);
        self.rows[at as usize].priority = priority as u8 - 1;
        self.lift_priority(tier, priority - 1);
        self.link_row(at, priority - 1);
    }

    /// Puts a row into the order of a priority; it is counted as queued already.
    pub(crate) fn link_row(&mut self, at: u32, priority: usize) {
        let row = &self.rows[at as usize];
        let (tier, flow, slots) = (usize::from(row.tier), row.flow, row.resources.slots);
        let state = &mut self.tiers[tier].priorities[priority];
        state.requests += 1;
        state.slots += slots;
        state.prefill += row.resources.prefill;
        let state = &mut self.flows[flow as usize];
        heap::insert(&mut Deadlines(&mut self.rows), &mut state.heads[priority], at);
        let is_head = state.heads[priority] == at;
        if state.is_parked(priority) && is_head {
            self.unpark_flow(flow, priority);
        } else if !state.is_parked(priority) && !state.is_linked(priority) {
            self.link_flow(flow, priority);
        }
    }

    pub(crate) fn unlink_row(&mut self, at: u32, priority: usize) {
        let row = &self.rows[at as usize];
        let (tier, flow, slots) = (usize::from(row.tier), row.flow, row.resources.slots);
        let state = &mut self.tiers[tier].priorities[priority];
        state.requests -= 1;
        state.slots -= slots;
        state.prefill -= row.resources.prefill;
        let state = &mut self.flows[flow as usize];
        let was_head = state.heads[priority] == at;
        heap::remove(&mut Deadlines(&mut self.rows), &mut state.heads[priority], at);
        if state.is_parked(priority) && was_head {
            self.unpark_flow(flow, priority);
        } else if state.heads[priority] == NONE && state.is_linked(priority) {
            self.unlink_flow(flow, priority);
        }
    }
}
