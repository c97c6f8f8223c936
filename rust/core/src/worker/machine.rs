//! One worker: what it has in hand, and what it tells of it.

use std::sync::Arc;

use penstock_admission::{Admission, Notification, Owner, Ticket};

use super::state::{
    Aborting, ConnectionId, Connections, Ids, Outage, Pool, RequestId, Requests, ServedNames, Trial,
};
use crate::exchange::{OutputMemory, RetryBudget};
use crate::generation::Generation;
use crate::metrics::{Histogram, Shard};
use crate::routing::{Tier, TierIndex};
use crate::segment::Segment;
use crate::time::{MILLISECOND, Nanos, TimerWheel};

/// Width of the timer wheel's slots: how late a timer may be.
pub const TICK: Nanos = 10 * MILLISECOND;

/// All policy of one worker process, without I/O: events with their time go in, [`Effects`](super::Effects) come out.
///
/// Each method that takes effects is one event. It decides and has its effects done in order; nothing that an effect
/// leads to may call the worker before it has returned.
#[derive(Debug)]
pub struct Worker {
    pub shard: Shard,
    /// JSON lines of finished requests, for whoever writes the log.
    pub log: Vec<u8>,
    /// Outages that have begun or ended, for the log.
    pub outages: Vec<Outage>,
    /// An answer was begun or given by the last event: its tier, and Penstock's own time before that event.
    pub answered: Option<(TierIndex, Nanos)>,
    /// The request of the current event: a panic ends this one alone.
    pub current: Option<RequestId>,
    pub ids: Ids,
    pub(super) generation: Arc<Generation>,
    pub(super) shared: Segment,
    pub(super) admission: Admission,
    pub(super) owner: Owner,
    pub(super) requests: Requests,
    pub(super) connections: Connections,
    pub(super) pool: Pool,
    pub(super) is_draining: bool,
    /// The model name that each backend knows.
    pub(super) served_names: ServedNames,
    /// The request behind each admission row.
    pub(super) rows: Vec<Option<RequestId>>,
    /// Half-closed connections whose permits wait for the backend's end.
    pub(super) aborting: Vec<Aborting>,
    pub(super) wheel: TimerWheel,
    /// Places of requests whose timers are due, while they are handled.
    pub(super) due: Vec<u32>,
    pub(super) budgets: Vec<RetryBudget>,
    /// Requests that try whether their backend is back.
    pub(super) trials: Vec<Trial>,
    /// When trials were last looked at.
    pub(super) trials_seen: Nanos,
    /// KV tokens that running answers have grown by since the last tick.
    pub(super) growths: Vec<(Ticket, u64)>,
    /// Times between tokens since the last tick, by backend.
    pub(super) gaps: Vec<Histogram>,
    /// When the timers last ran.
    pub(super) ticked: Nanos,
    /// When permits were last compared with requests.
    pub(super) swept: Nanos,
    /// Events so far, for the check of invariants in debug builds.
    pub(super) events: u32,
    // Memory that is used again and again, and empty in between.
    pub(super) output: OutputMemory,
    pub(super) scratch: Vec<u8>,
    pub(super) notices: Vec<Notification>,
}

impl Worker {
    pub fn new(
        generation: Arc<Generation>,
        shared: Segment,
        owner: Owner,
        ids: Ids,
        now: Nanos,
    ) -> Self {
        let table = &generation.table;
        let budget = |tier: &Tier| RetryBudget::new(tier.retry_budget, now);
        Worker {
            admission: shared.admission.of_worker(owner.worker),
            shard: shared.registry.shard(owner.worker),
            log: Vec::new(),
            outages: Vec::new(),
            answered: None,
            current: None,
            ids,
            owner,
            requests: Requests::default(),
            connections: Connections::default(),
            pool: Pool::new(table.backends.len()),
            is_draining: false,
            served_names: ServedNames::new(table.backends.len()),
            rows: vec![None; shared.admission.rows()],
            aborting: Vec::new(),
            wheel: TimerWheel::new(TICK, now),
            due: Vec::new(),
            budgets: table.tiers.iter().map(budget).collect(),
            trials: Vec::new(),
            trials_seen: now,
            growths: Vec::new(),
            gaps: vec![Histogram::fine(); table.backends.len()],
            ticked: now,
            swept: now,
            events: 0,
            output: OutputMemory::default(),
            scratch: Vec::new(),
            notices: Vec::new(),
            generation,
            shared,
        }
    }

    /// The configuration of requests that come now.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Requests in hand, those included whose client has its answer.
    pub fn active(&self) -> usize {
        self.requests.len()
    }

    /// What a connection is doing, for people who debug: its state, and whether it was used before.
    pub fn describe(&self, id: ConnectionId) -> (&'static str, bool) {
        self.connections
            .get(id)
            .map_or(("closed", false), |one| (one.state.name(), one.last_use.is_some()))
    }

    /// Drops a request that neither its client nor its backend needs any more.
    pub(super) fn forget_if_over(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get(id)
            && request.client.is_none()
            && request.connection.is_none()
        {
            self.requests.remove(id);
        }
    }
}
