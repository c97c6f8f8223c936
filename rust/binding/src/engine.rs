//! One worker's state, and every decision about it. Nothing here calls into Python's own code: what
//! is to be done is pushed to `acts` and run after the borrow ends.

use std::collections::HashMap;

use penstock_core::admission::{
    Admission, Candidates, Decision, Grant, Health, Offer, Outcome as PermitOutcome, Owner,
    Refusal, Resources, Sizes, Ticket, TierLimits,
};
use penstock_core::exchange::{Client, Exchange, Output, Quarantine, RetryBudget};
use penstock_core::metrics::Registry;
use penstock_core::openai::{ApiError, Code};
use penstock_core::routing::{BackendIndex, Plan, RoutingConfig, Table, TierIndex};
use penstock_core::time::{MILLISECOND, Nanos, Now, TimerWheel, seconds};
use penstock_core::tokens::{LearnedRatio, TokenCounter};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::acts::Act;
use crate::calls::{Call, CallKey, Calls, ClientSide};
use crate::clock::Clock;
use crate::faults;
use crate::gateway::Gateway;
use crate::ids::Ids;
use crate::pool::Pool;
use crate::upstream::UpstreamConnection;

/// Width of the timer wheel's slots: how late a timer may be.
pub(crate) const TICK: Nanos = 10 * MILLISECOND;
/// Connect failures in a row after which a backend counts as down.
const FAILURES_TO_DOWN: u32 = 3;
/// What clients are told to wait when a queue is full or no backend is there.
pub(super) const RETRY_AFTER_MS: u64 = 1000;

/// A half-closed connection whose permit waits for the backend's end.
#[derive(Debug)]
pub(crate) struct Aborting {
    pub(crate) until: Nanos,
    pub(crate) connection: Py<UpstreamConnection>,
    pub(crate) ticket: Ticket,
}

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) table: Table,
    pub(crate) admission: Admission,
    pub(crate) calls: Calls,
    pub(crate) pool: Pool,
    pub(crate) registry: Registry,
    pub(crate) acts: Vec<Act>,
    pub(crate) draining: bool,
    pub(crate) log: Vec<u8>,
    pub(crate) log_dropped: u64,
    /// An answer was just begun or given: its tier, and Penstock's own time before this moment.
    pub(crate) answered: Option<(TierIndex, Nanos)>,
    pub(super) ids: Ids,
    /// The model name that each backend knows.
    pub(super) serves: Vec<Option<String>>,
    pub(super) connect_failures: Vec<u32>,
    /// The call behind each admission row.
    pub(super) rows: Vec<Option<CallKey>>,
    pub(super) aborting: Vec<Aborting>,
    pub(super) wheel: TimerWheel,
    pub(super) budgets: Vec<RetryBudget>,
    pub(super) quarantine: Quarantine,
    pub(super) ratios: HashMap<String, LearnedRatio>,
    pub(super) output: Output,
    pub(super) scratch: Vec<u8>,
    /// The call that is being handled where no other argument names it: a panic is its alone.
    pub(crate) current: Option<CallKey>,
    /// Whether the last panic was over a call, which then got its answer.
    pub(crate) panic_was_answered: bool,
    /// Calls whose timers are due, while they are seen to.
    pub(super) due: Vec<u32>,
    /// Whether a tier has had a usable backend since the start.
    pub(crate) was_ready: Vec<bool>,
    pub(crate) permits_leaked: u64,
    pub(super) swept: Nanos,
    grants: Vec<Grant>,
    expelled: Vec<(Ticket, Refusal)>,
}

impl Engine {
    pub(crate) fn new(config: RoutingConfig) -> Result<Self, String> {
        // Every connection may carry one request, and a tenth more may be closing (contract §4).
        let rows = config.connections + config.connections / 10 + 16;
        let serves: Vec<_> = config.backends.iter().map(|b| b.serves.clone()).collect();
        let table = Table::build(config)?;
        let clock = Clock::start();
        let now = clock.mono();
        let mut admission = Admission::new(Sizes {
            rows,
            tiers: table
                .tiers
                .iter()
                .map(|tier| TierLimits {
                    concurrency: tier.concurrency,
                    queue_requests: tier.queue.requests,
                    queue_tokens: tier.queue.tokens,
                    queue_bytes: tier.queue.bytes,
                })
                .collect(),
            backends: table.backends.iter().map(|b| (b.concurrency, b.node)).collect(),
            nodes: table.nodes.clone(),
            workers: 1,
        });
        for (index, name) in serves.iter().enumerate() {
            if name.is_none() {
                admission.set_health(index as BackendIndex, Health::Down, now);
            }
        }
        let budget = |tier: &penstock_core::routing::Tier| RetryBudget::new(tier.retry_budget, now);
        Ok(Engine {
            admission,
            calls: Calls::default(),
            pool: Pool::new(table.backends.len()),
            registry: Registry::new(table.tiers.len()),
            acts: Vec::new(),
            draining: false,
            log: Vec::new(),
            log_dropped: 0,
            answered: None,
            ids: Ids::new(),
            connect_failures: vec![0; serves.len()],
            serves,
            rows: vec![None; rows],
            aborting: Vec::new(),
            wheel: TimerWheel::new(TICK, now),
            budgets: table.tiers.iter().map(budget).collect(),
            quarantine: Quarantine::default(),
            ratios: HashMap::new(),
            output: Output::default(),
            scratch: Vec::new(),
            current: None,
            panic_was_answered: false,
            due: Vec::new(),
            was_ready: vec![false; table.tiers.len()],
            permits_leaked: 0,
            swept: now,
            grants: Vec::new(),
            expelled: Vec::new(),
            table,
            clock,
        })
    }

    /// A request has been read whole.
    pub(crate) fn submit(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        body: &[u8],
        client: Client,
        side: ClientSide,
        now: Now,
    ) -> Option<CallKey> {
        let plan = match self.plan(body, now) {
            Ok(plan) => plan,
            Err(error) => {
                let addressee = Plan::addressee(&self.table, body);
                self.reject(gateway.py(), &error, &client, &side, addressee, now);
                return None;
            }
        };
        self.budgets[usize::from(plan.tier)].request(now.mono);
        let offer = self.offer(&plan, &[], now);
        let id = self.ids.answer_id();
        let exchange = Exchange::new(plan, client, &id, now);
        let key = self.calls.insert(|key| Call {
            key,
            exchange,
            client: Some(side),
            upstream: None,
            ticket: None,
            failed: Vec::new(),
            retry_after: 0,
            armed: Nanos::MAX,
            overhead: 0,
        });
        self.current = Some(key);
        faults::check("submit");
        self.offered(gateway, key, &offer, now);
        Some(key)
    }

    fn plan(&mut self, body: &[u8], now: Now) -> Result<Plan, ApiError> {
        if self.draining {
            return Err(ApiError::new(Code::Draining, "the gateway is shutting down")
                .retry_after_ms(RETRY_AFTER_MS));
        }
        let plan = Plan::make(&self.table, body)?;
        if self.quarantine.holds(plan.prompt_bytes(), now.mono) {
            let message = "model servers broke the connection off under this very request";
            return Err(ApiError::new(Code::UpstreamReset, message));
        }
        Ok(plan)
    }

    /// What a request asks of admission now; `failed`: the backends that it has tried.
    fn offer(&self, plan: &Plan, failed: &[BackendIndex], now: Now) -> Offer {
        Offer {
            owner: Owner::default(),
            tier: plan.tier,
            resources: self.resources(plan),
            tokens: self.prompt_tokens(plan),
            bytes: plan.held_bytes() as u64,
            candidates: self.candidates(plan.tier, failed),
            deadline: now.mono + seconds(self.table.tiers[usize::from(plan.tier)].queue.wait),
        }
    }

    fn prompt_tokens(&self, plan: &Plan) -> u64 {
        self.ratios.get(&plan.model).copied().unwrap_or_default().count(plan.prompt)
    }

    fn resources(&self, plan: &Plan) -> Resources {
        let prefill = self.prompt_tokens(plan);
        Resources { slots: plan.slots, prefill, kv: prefill }
    }

    /// The tier's usable backends but for those that have failed this request, the emptiest first.
    fn candidates(&self, tier: TierIndex, failed: &[BackendIndex]) -> Candidates {
        let all = &self.table.tiers[usize::from(tier)].backends;
        let mut backends: Vec<BackendIndex> = all
            .iter()
            .copied()
            .filter(|backend| !failed.contains(backend) && self.admission.is_usable(*backend))
            .collect();
        backends.sort_by_key(|&backend| {
            let cap = self.admission.backend_cap(backend);
            let limit = u64::from(cap.limit.unwrap_or(u32::MAX).max(1));
            (u64::from(cap.used.slots) << 32) / limit
        });
        Candidates::of(backends)
    }

    /// Offers a call and acts on the decision.
    pub(super) fn offered(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        offer: &Offer,
        now: Now,
    ) {
        match self.admission.offer(offer, now.mono) {
            Decision::Granted(grant) => {
                self.hold(key, grant.ticket);
                self.start(gateway, key, grant.backend, now);
            }
            Decision::Queued(ticket) => {
                self.hold(key, ticket);
                self.arm(key);
            }
            Decision::Refused(refusal) => self.refuse(gateway.py(), key, refusal, true, now),
        }
    }

    fn hold(&mut self, key: CallKey, ticket: Ticket) {
        self.rows[ticket.row as usize] = Some(key);
        if let Some(call) = self.calls.get(key) {
            call.ticket = Some(ticket);
        }
    }

    /// Takes what admission has decided meanwhile: grants to start, waiting ones to turn away.
    pub(super) fn collect(&mut self, gateway: &Bound<'_, Gateway>, now: Now) {
        loop {
            let mut grants = std::mem::take(&mut self.grants);
            let mut expelled = std::mem::take(&mut self.expelled);
            self.admission.take_grants(0, &mut grants);
            self.admission.take_expelled(0, &mut expelled);
            let quiet = grants.is_empty() && expelled.is_empty();
            for grant in grants.drain(..) {
                match self.rows[grant.ticket.row as usize] {
                    Some(key) => self.start(gateway, key, grant.backend, now),
                    None => {
                        self.admission.release(grant.ticket, PermitOutcome::Ignored, now.mono);
                    }
                }
            }
            for (ticket, refusal) in expelled.drain(..) {
                if let Some(key) = self.rows[ticket.row as usize].take() {
                    if let Some(call) = self.calls.get(key) {
                        call.ticket = None;
                    }
                    // A row knows eight backends; its tier may have another that is well.
                    if refusal == Refusal::NoBackend
                        && let Some(offer) = self.next_offer(key, now)
                    {
                        self.offered(gateway, key, &offer, now);
                        continue;
                    }
                    self.refuse(gateway.py(), key, refusal, false, now);
                }
            }
            self.grants = grants;
            self.expelled = expelled;
            if quiet {
                return;
            }
        }
    }

    /// Begins an attempt on the backend that was granted.
    pub(super) fn start(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        key: CallKey,
        backend: BackendIndex,
        now: Now,
    ) {
        let nonce = self.ids.next() as u32;
        let Some(call) = self.calls.get(key) else { return };
        call.exchange.granted(backend, nonce, now);
        let keep_alive = self.table.backends[usize::from(backend)].keep_alive;
        while let Some(connection) = self.pool.take(backend, keep_alive, now.mono) {
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
        let Some(write) = connection.method(py, |transport| &transport.write) else { return };
        let serves = self.serves[usize::from(backend)].as_deref().unwrap_or_default();
        self.scratch.clear();
        let reused = connection.is_reused();
        call.exchange.send(&self.table, serves, reused, now, &mut self.scratch);
        self.acts.push(Act::Write(write, PyBytes::new(py, &self.scratch).unbind()));
        // The client may have stopped reading before there was a connection to pause.
        if call.exchange.is_paused() {
            self.acts.extend(connection.method(py, |t| &t.pause_reading).map(Act::Call));
        }
    }

    /// Hands the output to the client's transport.
    pub(super) fn flush(&mut self, py: Python<'_>, key: CallKey) {
        if self.output.is_empty() {
            return;
        }
        if let Some(side) = self.calls.get(key).and_then(|call| call.client.as_ref()) {
            self.scratch.clear();
            self.output.assemble(&mut self.scratch);
            let data = PyBytes::new(py, &self.scratch).unbind();
            self.acts.push(Act::Write(side.write.clone_ref(py), data));
        }
        self.output.clear();
    }

    /// Sets the wheel for a call's next deadline, if none is set for as early.
    pub(super) fn arm(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else { return };
        if let Some(deadline) = call.exchange.deadline(&self.table)
            && deadline < call.armed
        {
            call.armed = deadline;
            self.wheel.insert(deadline, key.slot);
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

    pub(crate) fn backend_failed_to_connect(&mut self, backend: BackendIndex, now: Now) {
        let failures = &mut self.connect_failures[usize::from(backend)];
        *failures += 1;
        if *failures >= FAILURES_TO_DOWN {
            self.admission.set_health(backend, Health::Down, now.mono);
        }
    }

    /// What a probe has found out about a backend.
    pub(crate) fn probed(
        &mut self,
        gateway: &Bound<'_, Gateway>,
        backend: BackendIndex,
        serves: Option<String>,
        health: Health,
        now: Now,
    ) {
        if health == Health::Healthy {
            self.connect_failures[usize::from(backend)] = 0;
        }
        if serves.is_some() {
            self.serves[usize::from(backend)] = serves;
        }
        self.admission.set_health(backend, health, now.mono);
        for tier in 0..self.was_ready.len() {
            self.was_ready[tier] |= self.is_ready(tier);
        }
        self.collect(gateway, now);
    }

    /// Whether a tier has a backend that is known to be well.
    pub(crate) fn is_ready(&self, tier: usize) -> bool {
        let tier = &self.table.tiers[tier];
        let well = |&backend: &BackendIndex| {
            self.admission.is_usable(backend) && self.admission.health(backend) == Health::Healthy
        };
        tier.concurrency != Some(0) && tier.backends.iter().any(well)
    }

    /// The offer of a second attempt, if any backend is left for it. It may wait as long as a new one,
    /// but not past its total time.
    pub(super) fn next_offer(&mut self, key: CallKey, now: Now) -> Option<Offer> {
        let mut call = self.calls.take(key)?;
        let offer = self.offer(&call.exchange.plan, &call.failed, now);
        let tier = &self.table.tiers[usize::from(offer.tier)];
        let deadline = offer.deadline.min(call.exchange.arrived() + tier.timeouts.total);
        call.armed = Nanos::MAX;
        self.calls.put_back(call);
        (!offer.candidates.is_empty()).then_some(Offer { deadline, ..offer })
    }
}
