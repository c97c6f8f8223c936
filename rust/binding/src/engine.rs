//! One worker's state, and every decision about it. Nothing here calls into Python's own code: what
//! is to be done is pushed to `acts` and run after the borrow ends. What is asked of a transport
//! meanwhile (whether it is closing, how much it still holds) are getters of uvloop's, which call nobody.

use std::sync::Arc;

use penstock_admission::shm::monotonic;
use penstock_admission::{Admission, Grant, Notification, Owner, PermitOutcome, Ticket};
use penstock_core::exchange::{Client, Exchange, Output, OutputMemory, RetryBudget};
use penstock_core::metrics::{Histogram, Shard};
use penstock_core::openai::{ApiError, Code};
use penstock_core::routing::{BackendIndex, Plan, Table, TierIndex};
use penstock_core::segment::Segment as Shared;
use penstock_core::time::{MILLISECOND, Nanos, Now, TimerWheel};
use pyo3::prelude::*;

use crate::acts::Act;
use crate::calls::{Call, CallKey, Calls, ClientSide};
use crate::clock::Clock;
use crate::faults;
use crate::gateway::Gateway;
use crate::ids::Ids;
use crate::outage::{Outage, Trial};
use crate::pool::Pool;
use crate::segment::Segment;
use crate::serves::Serves;
use crate::standing::Standing;
use crate::upstream::UpstreamConnection;

/// Width of the timer wheel's slots: how late a timer may be.
pub(crate) const TICK: Nanos = 10 * MILLISECOND;
/// What clients are told to wait when a queue is full or no backend is there.
pub(super) const RETRY_AFTER_MS: u64 = 1000;

/// A half-closed connection whose permit waits for the backend's end.
#[derive(Debug)]
pub(crate) struct Aborting {
    pub(crate) until: Nanos,
    /// Until when the backend's end is no proof that its engine has stopped.
    pub(crate) held_until: Nanos,
    pub(crate) connection: Py<UpstreamConnection>,
    pub(crate) ticket: Ticket,
}

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) table: Arc<Table>,
    pub(crate) shared: Shared,
    pub(crate) admission: Admission,
    pub(crate) owner: Owner,
    pub(crate) calls: Calls,
    pub(crate) pool: Pool,
    pub(crate) shard: Shard,
    pub(crate) acts: Vec<Act>,
    pub(crate) draining: bool,
    pub(crate) log: Vec<u8>,
    /// An answer was just begun or given: its tier, and Penstock's own time before this moment.
    pub(crate) answered: Option<(TierIndex, Nanos)>,
    pub(super) ids: Ids,
    /// The model name that each backend knows.
    pub(super) serves: Serves,
    /// The call behind each admission row.
    pub(super) rows: Vec<Option<CallKey>>,
    pub(super) aborting: Vec<Aborting>,
    pub(super) wheel: TimerWheel,
    pub(super) budgets: Vec<RetryBudget>,
    /// Outages that have begun or ended since they were last taken.
    pub(crate) outages: Vec<Outage>,
    /// Requests that try whether their backend is back.
    pub(super) trials: Vec<Trial>,
    /// When these were last looked at.
    pub(super) looked: Nanos,
    /// KV tokens that running answers have grown by since the last tick.
    pub(super) growths: Vec<(Ticket, u64)>,
    /// Times between tokens since the last tick, by backend.
    pub(super) gaps: Vec<Histogram>,
    pub(super) memory: OutputMemory,
    pub(super) scratch: Vec<u8>,
    /// The call that is being handled where no other argument names it: a panic is its alone.
    pub(crate) current: Option<CallKey>,
    /// Calls whose timers are due, while they are seen to.
    pub(super) due: Vec<u32>,
    /// When the timers were last looked at.
    pub(crate) ticked: Nanos,
    pub(super) swept: Nanos,
    pub(super) mail: Vec<Notification>,
}

impl Engine {
    pub(crate) fn new(segment: &Segment, owner: Owner) -> Self {
        let now = monotonic();
        let table = segment.table.clone();
        let shared = segment.shared.clone();
        let budget = |tier: &penstock_core::routing::Tier| RetryBudget::new(tier.retry_budget, now);
        Engine {
            clock: Clock::new(),
            admission: shared.admission.of_worker(owner.worker),
            owner,
            calls: Calls::default(),
            pool: Pool::new(table.backends.len()),
            shard: shared.registry.shard(owner.worker),
            acts: Vec::new(),
            draining: false,
            log: Vec::new(),
            answered: None,
            ids: Ids::new(),
            serves: Serves::new(table.backends.len()),
            rows: vec![None; shared.admission.rows()],
            aborting: Vec::new(),
            wheel: TimerWheel::new(TICK, now),
            budgets: table.tiers.iter().map(budget).collect(),
            outages: Vec::new(),
            trials: Vec::new(),
            looked: now,
            growths: Vec::new(),
            gaps: vec![Histogram::fine(); table.backends.len()],
            memory: OutputMemory::default(),
            scratch: Vec::new(),
            current: None,
            due: Vec::new(),
            ticked: now,
            swept: now,
            mail: Vec::new(),
            table,
            shared,
        }
    }

    /// A request has been read whole. `side` is taken when somebody is sure to answer it.
    pub(crate) fn submit(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        body: &[u8],
        client: Client,
        side: &mut Option<ClientSide>,
        standing: Standing,
        now: Now,
    ) -> Option<CallKey> {
        let plan = match self.plan(body, now) {
            Ok(plan) => plan,
            Err(error) => {
                let addressee = Plan::addressee(&self.table, body);
                let side = side.take()?;
                self.reject(gateway.py(), &error, &client, side, addressee, now);
                return None;
            }
        };
        self.budgets[usize::from(plan.tier)].request(now.mono);
        let offer = self.offer(&plan, &standing, &[]);
        let id = self.ids.answer_id();
        let exchange = Exchange::new(plan, client, &id, now);
        let key = self.calls.insert(|key| {
            Box::new(Call {
                key,
                exchange,
                client: side.take(),
                upstream: None,
                ticket: None,
                standing,
                failed: Vec::new(),
                reserved: 0,
                retry_after: 0,
                wants_fresh: false,
                is_trial: false,
                trials: 0,
                overhead: 0,
            })
        });
        self.current = Some(key);
        faults::check("submit");
        self.offered(gateway, key, &offer, now);
        faults::check("offered");
        Some(key)
    }

    fn plan(&mut self, body: &[u8], now: Now) -> Result<Plan, ApiError> {
        if self.draining {
            return Err(ApiError::new(Code::Draining, "the gateway is shutting down")
                .retry_after_ms(RETRY_AFTER_MS));
        }
        let plan = Plan::make(&self.table, body)?;
        if self.admission.is_quarantined(|| plan.fingerprint(), now.mono) {
            let message = "model servers have died under this very request";
            return Err(ApiError::new(Code::UpstreamReset, message));
        }
        Ok(plan)
    }

    /// Begins an attempt on the backend that was granted.
    pub(super) fn start(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        Grant { backend, covered, is_trial, .. }: Grant,
        now: Now,
    ) {
        let nonce = self.ids.next() as u32;
        let Some(call) = self.calls.get(key) else { return };
        call.exchange.granted(backend, nonce, now);
        call.reserved = u64::from(covered);
        call.is_trial = is_trial;
        // Only a new connection shows that the backend takes them again.
        let may_reuse = !call.wants_fresh && !is_trial;
        let life = self.admission.load(backend).generation;
        self.shared.prefixes.insert(&call.exchange.plan.blocks, backend, life);
        let tier = &self.table.tiers[usize::from(call.exchange.plan.tier)];
        if tier.backends.len() > 1 {
            self.shared.prefixes.insert(&call.standing.session(tier), backend, life);
        }
        if is_trial {
            self.note_trial(key);
        }
        let keep_alive = self.table.backends[usize::from(backend)].keep_alive;
        while may_reuse && let Some(connection) = self.pool.take(backend, keep_alive, now.mono) {
            if connection.borrow(gateway.py()).is_usable(gateway.py()) {
                connection.borrow(gateway.py()).set_duty(crate::upstream::Duty::Serving(key));
                self.attach(key, connection);
                self.send(gateway.py(), key, now);
                return self.arm(key);
            }
        }
        self.connect(gateway, key, backend);
    }

    pub(super) fn connect(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        backend: BackendIndex,
    ) {
        let connection = UpstreamConnection::new(gateway.clone().unbind(), backend, key);
        match Py::new(gateway.py(), connection) {
            Ok(connection) => {
                self.acts.push(Act::Connect(backend, connection.clone_ref(gateway.py())));
                self.attach(key, connection);
                self.arm(key);
            }
            Err(error) => error.write_unraisable(gateway.py(), None),
        }
    }

    fn attach(&mut self, key: CallKey, connection: Py<UpstreamConnection>) {
        if let Some(call) = self.calls.get(key) {
            call.upstream = Some(connection);
        }
    }

    /// Writes the request to its connection, in one piece.
    pub(super) fn send(&mut self, py: Python<'_>, key: CallKey, now: Now) {
        let Some(call) = self.calls.get(key) else { return };
        let (Some(backend), Some(connection)) = (call.exchange.backend(), &call.upstream) else {
            return;
        };
        let connection = connection.borrow(py);
        let Some(outlet) = connection.outlet() else { return };
        let serves = self.serves.get(&self.shared.serves, backend);
        self.scratch.clear();
        let last_use = connection.last_use();
        let tail = call.exchange.send(&self.table, serves, last_use, now, &mut self.scratch);
        self.acts.extend(outlet.send(py, &[&self.scratch, tail]));
        // The client may have stopped reading before there was a connection to pause.
        if call.exchange.is_paused() {
            self.acts.extend(connection.flow(py, true).map(Act::Call));
        }
    }

    /// Sends a call's output to its client in one piece.
    pub(super) fn flush(&mut self, py: Python<'_>, key: CallKey, out: Output) {
        if !out.is_empty()
            && let Some(side) = self.calls.get(key).and_then(|call| call.client.as_ref())
        {
            self.acts.extend(out.assemble(|pieces| side.outlet.send(py, pieces)));
        }
        out.give_back(&mut self.memory);
    }

    /// Sets the timer of a call's slot for its next deadline, if none is set for as early. What was set
    /// for a call before it in that slot counts: when that fires, it is seen who is there.
    pub(super) fn arm(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        if let Some(deadline) = call.exchange.deadline(&self.table) {
            self.wheel.set(deadline, key.slot);
        }
    }

    /// Gives the permit back and starts whoever has waited for it.
    pub(super) fn release(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        ticket: Ticket,
        outcome: PermitOutcome,
        now: Now,
    ) {
        faults::check("release");
        self.rows[ticket.row as usize] = None;
        self.admission.release(ticket, outcome, now.mono);
        self.collect(gateway, now);
    }

    /// Drops a call that neither its client nor its backend needs any more.
    pub(super) fn forget_if_over(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get(key)
            && call.client.is_none()
            && call.upstream.is_none()
        {
            self.calls.remove(key);
        }
    }
}
