//! One worker's state, and the way of a request in: plan, offer, start, send.

use std::sync::Arc;

use penstock_admission::{Admission, Grant, Notification, Owner, PermitOutcome, Ticket};

use super::connection::{ConnectionId, ConnectionState, Connections};
use super::effects::Effects;
use super::faults;
use super::ids::Ids;
use super::outage::{Outage, Trial};
use super::pool::Pool;
use super::release::Aborting;
use super::request::{ClientId, Request, RequestId, Requests};
use super::served_names::ServedNames;
use crate::endpoint::Endpoint;
use crate::exchange::{Client, Exchange, Output, OutputMemory, RetryBudget};
use crate::generation::Generation;
use crate::identity::RequestAttributes;
use crate::metrics::{Histogram, Shard};
use crate::openai::{ApiError, Code};
use crate::routing::{Plan, Tier, TierIndex};
use crate::segment::Segment;
use crate::time::{MILLISECOND, Nanos, Now, TimerWheel};

/// Width of the timer wheel's slots: how late a timer may be.
pub const TICK: Nanos = 10 * MILLISECOND;
/// What clients are told to wait when a worker is draining.
const RETRY_AFTER_MS: u64 = 1000;

/// A request that was read whole.
#[derive(Debug)]
pub struct Submitted<'a> {
    pub endpoint: &'static dyn Endpoint,
    pub body: &'a [u8],
    pub client: Client,
    /// Who gets the answer.
    pub client_id: ClientId,
    pub attributes: RequestAttributes,
}

/// All policy of one worker process, without I/O: events with their time go in, [`Effects`] come out.
///
/// Each method that takes [`Effects`] is one event. It decides and has its effects done in order; nothing that an effect
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
    /// The request that is being handled: a panic costs this one alone.
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

    /// A request has been read whole: it is refused, queued or begun. `None`: it was refused, and its client has the
    /// answer.
    pub fn submit(
        &mut self,
        io: &mut impl Effects,
        submitted: Submitted<'_>,
        now: Now,
    ) -> Option<RequestId> {
        let Submitted { endpoint, body, client, client_id, attributes } = submitted;
        self.current = None;
        let plan = match self.plan(endpoint, body, now) {
            Ok(plan) => plan,
            Err(error) => {
                let addressee = Plan::addressee(&self.generation.table, body);
                self.reject(io, endpoint, &error, &client, client_id, addressee, now);
                return None;
            }
        };
        self.budgets[usize::from(plan.tier)].request(now.mono);
        let generation = self.generation.clone();
        let offer = self.offer(&generation, &plan, &attributes, &[]);
        let id = self.ids.answer_id(endpoint.id_prefix());
        let exchange = Exchange::new(plan, client, &id, now);
        let id = self.requests.insert(Request::new(exchange, generation, client_id, attributes));
        self.current = Some(id);
        faults::check("submit");
        self.make_offer(io, id, &offer, now);
        faults::check("offered");
        self.check_invariants();
        Some(id)
    }

    /// Penstock's own time until the request was handed to its backend or queue.
    pub fn note_overhead(&mut self, id: RequestId, time: Nanos) {
        if let Some(request) = self.requests.get_mut(id) {
            request.overhead = time;
        }
    }

    fn plan(
        &mut self,
        endpoint: &'static dyn Endpoint,
        body: &[u8],
        now: Now,
    ) -> Result<Plan, ApiError> {
        if self.is_draining {
            return Err(ApiError::new(Code::Draining, "the gateway is shutting down")
                .retry_after_ms(RETRY_AFTER_MS));
        }
        let plan = Plan::make(&self.generation.table, endpoint, body)?;
        if self.admission.is_quarantined(|| plan.fingerprint(), now.mono) {
            let message = "model servers have died under this very request";
            return Err(ApiError::new(Code::UpstreamReset, message));
        }
        Ok(plan)
    }

    /// Begins an attempt on the backend that was granted.
    pub(super) fn start(
        &mut self,
        io: &mut impl Effects,
        id: RequestId,
        Grant { backend, covered, is_trial, .. }: Grant,
        now: Now,
    ) {
        let nonce = self.ids.number() as u32;
        let Some(request) = self.requests.get_mut(id) else { return };
        request.exchange.granted(backend, nonce, now);
        request.reserved = u64::from(covered);
        request.is_trial = is_trial;
        // Only a new connection shows that the backend takes them again.
        let may_reuse = !request.wants_fresh && !is_trial;
        let table = &request.generation.table;
        let life = self.admission.load(backend).generation;
        self.shared.prefixes.insert(&request.exchange.plan.blocks, backend, life);
        let tier = &table.tiers[usize::from(request.exchange.plan.tier)];
        if tier.backends.len() > 1 {
            self.shared.prefixes.insert(&request.attributes.session(tier), backend, life);
        }
        let keep_alive = table.backends[usize::from(backend)].keep_alive;
        if is_trial {
            self.note_trial(id);
        }
        while may_reuse && let Some(connection) = self.pool.take(backend, keep_alive, now.mono) {
            if io.is_open(connection) {
                self.connections.set_state(connection, ConnectionState::Serving(id));
                self.attach(id, connection);
                self.send(io, id, now);
                return self.arm(id);
            }
            // Its end is on its way, and nothing is to be done about it then.
            self.connections.remove(connection);
            io.close(connection);
        }
        let connection = self.connections.open(backend, id);
        self.attach(id, connection);
        io.connect(connection, backend);
        self.arm(id);
    }

    fn attach(&mut self, id: RequestId, connection: ConnectionId) {
        if let Some(request) = self.requests.get_mut(id) {
            request.connection = Some(connection);
        }
    }

    /// Writes the request to its connection, in one piece.
    pub(super) fn send(&mut self, io: &mut impl Effects, id: RequestId, now: Now) {
        let Some(request) = self.requests.get_mut(id) else { return };
        let (Some(backend), Some(connection)) = (request.exchange.backend(), request.connection)
        else {
            return;
        };
        let last_use = self.connections.get(connection).and_then(|one| one.last_use);
        let served_name = self.served_names.get(&self.shared.serves, backend);
        let table = &request.generation.table;
        self.scratch.clear();
        let tail = request.exchange.send(table, served_name, last_use, now, &mut self.scratch);
        io.write_upstream(connection, &[&self.scratch, tail]);
        // The client may have stopped reading before there was a connection to pause.
        if request.exchange.is_paused() {
            self.pause(io, connection);
        }
    }

    /// The request goes on: what there is of its answer leaves, and its timer is set.
    pub(super) fn go_on(&mut self, io: &mut impl Effects, id: RequestId, out: Output) {
        if let Some(request) = self.requests.get(id) {
            if !out.is_empty()
                && let Some(client) = request.client
            {
                out.assemble(|pieces| io.write_client(client, pieces));
            }
            if let Some(deadline) = request.deadline() {
                self.wheel.set(deadline, id.place());
            }
        }
        out.give_back(&mut self.output);
    }

    /// Sends a request's output to its client in one piece.
    pub(super) fn flush(&mut self, io: &mut impl Effects, id: RequestId, out: Output) {
        if !out.is_empty()
            && let Some(client) = self.requests.get(id).and_then(|request| request.client)
        {
            out.assemble(|pieces| io.write_client(client, pieces));
        }
        out.give_back(&mut self.output);
    }

    /// Sets the timer of a request's place for its next deadline, if none is set for as early. What was set for a
    /// request before it in that place counts: when it fires, [`Self::tick`] looks who is there.
    pub(super) fn arm(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(id) else { return };
        if let Some(deadline) = request.deadline() {
            self.wheel.set(deadline, id.place());
        }
    }

    /// Gives the permit back and starts whoever has waited for it.
    pub(super) fn release(
        &mut self,
        io: &mut impl Effects,
        ticket: Ticket,
        outcome: PermitOutcome,
        now: Now,
    ) {
        faults::check("release");
        self.rows[ticket.row as usize] = None;
        self.admission.release(ticket, outcome, now.mono);
        self.collect(io, now);
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

    /// Stops reading a backend.
    pub(super) fn pause(&mut self, io: &mut impl Effects, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !matches!(connection.state, ConnectionState::Connecting(_))
            && !std::mem::replace(&mut connection.paused, true)
        {
            io.pause(id);
        }
    }

    /// Reads a backend again. False: not from now on, but only after this event.
    pub(super) fn resume(&mut self, io: &mut impl Effects, id: ConnectionId) -> bool {
        let was_paused = self
            .connections
            .get_mut(id)
            .is_some_and(|connection| std::mem::replace(&mut connection.paused, false));
        !was_paused || io.resume(id)
    }
}
