//! The exchange: from the grant of a permit to the last byte for the client.

mod answer;
mod assembled;
mod ending;
mod next;
mod state;
mod timers;
mod truncation;
mod upstream;

pub use self::next::{Ended, Next, Pace, UpstreamEnd};

use penstock_admission::Histogram;
use penstock_wire::decimal::write_hex;
use penstock_wire::http::{Framing, write_request_head};

use self::state::{AnswerMode, ExchangeState};
use super::attempt::Attempt;
use super::client::Client;
use super::failure::{Failure, Progress};
use super::record::{Record, Served};
use crate::openai::Usage;
use crate::routing::{Backend, BackendIndex, Plan, Table, Tier};
use crate::rules::{IdAndModel, RuleCounts};
use crate::time::{Nanos, Now, SECOND};

/// How long to wait for the end of the HTTP message after `[DONE]` before the connection is closed.
const END_OF_MESSAGE_TIMEOUT: Nanos = SECOND;

#[derive(Debug)]
pub struct Exchange {
    pub plan: Plan,
    pub client: Client,
    id_and_model: IdAndModel,
    state: ExchangeState,
    mode: AnswerMode,
    /// Normalised events that came before the first meaningful one. They are buffered so that an early failure can
    /// still be sent as a status (P14).
    buffered: Vec<u8>,
    /// The response head was sent to the client.
    begun: bool,
    served: Served,
    upstream_id: Option<String>,
    attempts: u32,
    arrived: Nanos,
    queued: Option<Nanos>,
    dispatched: Nanos,
    /// Time from arrival to the first meaningful event of this attempt, or to the whole answer.
    first: Option<Nanos>,
    last_event: Nanos,
    /// When the client last got a piece of the answer.
    last_piece: Nanos,
    /// Times between pieces.
    gaps: Histogram,
    pieces: u64,
    answered: Nanos,
    /// Reading from the backend is paused because the client does not read.
    paused: bool,
    /// Back in the queue, waiting for another permit.
    requeued: bool,
    usage: Option<Usage>,
    rules: RuleCounts,
    record: Option<Record>,
    /// The record was made, so later events change nothing about it.
    recorded: bool,
}

impl Exchange {
    /// `id`: the answer's own id.
    pub fn new(plan: Plan, client: Client, id: &str, now: Now) -> Self {
        Exchange {
            id_and_model: IdAndModel::new(id, now.unix_seconds(), &plan.model),
            served: Served { tier: Some(plan.tier), model: Some(plan.model_index), backend: None },
            plan,
            client,
            state: ExchangeState::Waiting,
            mode: AnswerMode::Whole,
            buffered: Vec::new(),
            begun: false,
            upstream_id: None,
            attempts: 0,
            arrived: now.mono,
            queued: None,
            dispatched: now.mono,
            first: None,
            last_event: now.mono,
            last_piece: now.mono,
            gaps: Histogram::fine(),
            pieces: 0,
            answered: now.mono,
            paused: false,
            requeued: false,
            usage: None,
            rules: RuleCounts::default(),
            record: None,
            recorded: false,
        }
    }

    /// A permit was granted: an attempt at `backend` begins. `nonce` makes its upstream id unique.
    pub fn granted(&mut self, backend: BackendIndex, nonce: u32, now: Now) {
        self.queued.get_or_insert(now.mono - self.arrived);
        self.served.backend = Some(backend);
        self.attempts += 1;
        self.upstream_id = Some(upstream_id(&self.client.request_id, nonce));
        self.dispatched = now.mono;
        self.requeued = false;
        self.state = ExchangeState::Waiting;
    }

    /// Appends the head and the beginning of the body of the request to `out`, and returns the rest of the
    /// body, which saves a copy of a long body. `serves`: the backend's model name; `last_use`: when the
    /// connection last carried a request, if it did.
    pub fn send(
        &mut self,
        table: &Table,
        serves: &str,
        last_use: Option<Nanos>,
        now: Now,
        out: &mut Vec<u8>,
    ) -> &[u8] {
        let Some(backend) = self.served_by(table) else { return b"" };
        let id = self.upstream_id.as_deref().unwrap_or_default();
        let Backend { prefix, headers, keep_alive, stream_whole, .. } = backend;
        let streams = self.plan.streams(*stream_whole);
        let mut begin = Vec::with_capacity(64);
        let rest = if streams {
            self.plan.write_streamed(serves, &mut begin)
        } else {
            Plan::write_model(serves, &mut begin);
            0
        };
        let length = begin.len() + self.plan.tail().len() - rest;
        let path = [prefix, self.plan.endpoint.path()];
        write_request_head(path, headers, id, streams, length, out);
        out.extend_from_slice(&begin);
        self.last_event = now.mono;
        self.buffered.clear();
        self.mode = self.answer_mode(streams);
        self.state = ExchangeState::Attempting(Box::new(Attempt::new(
            streams,
            last_use.map(|last| last + keep_alive),
            table.event_limit,
            table.response_limit,
        )));
        &self.plan.tail()[rest..]
    }

    /// How to decode the answer. `streams`: the backend was asked for a stream.
    fn answer_mode(&self, streams: bool) -> AnswerMode {
        let streaming = if streams { self.plan.endpoint.streaming() } else { None };
        let id_and_model = || self.id_and_model.clone();
        match streaming {
            None => AnswerMode::Whole,
            Some(endpoint) if self.plan.stream => {
                AnswerMode::Stream(endpoint.rules(id_and_model(), self.plan.asked()))
            }
            Some(endpoint) => {
                AnswerMode::Assembled(endpoint.assembly(id_and_model(), self.plan.asked()))
            }
        }
    }

    pub fn backend(&self) -> Option<BackendIndex> {
        self.served.backend
    }

    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    pub fn arrived(&self) -> Nanos {
        self.arrived
    }

    /// Whether reading from the backend is paused because the client does not read.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub fn pace(&self) -> Pace {
        Pace { pieces: self.pieces, last: self.last_piece }
    }

    /// Where it is on its way, for people who debug.
    pub fn phase(&self) -> &'static str {
        match &self.state {
            ExchangeState::Waiting if self.is_queued() => "queued",
            ExchangeState::Waiting => "connecting",
            ExchangeState::Attempting(_) if self.first.is_some() => "streaming",
            ExchangeState::Attempting(_) => "sent",
            ExchangeState::AwaitingEnd(_) => "awaiting_end",
            ExchangeState::Over => "over",
        }
    }

    /// Whether the response head was sent to the client.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the first meaningful event of this attempt, or the whole answer, has arrived.
    pub fn has_first(&self) -> bool {
        self.first.is_some()
    }

    /// Whether the response head of the backend has arrived.
    pub fn is_answered(&self) -> bool {
        match &self.state {
            ExchangeState::Waiting => false,
            ExchangeState::Attempting(attempt) => attempt.is_answered(),
            ExchangeState::AwaitingEnd(_) | ExchangeState::Over => true,
        }
    }

    /// When the request was written to its backend, if nothing has arrived since.
    pub fn unanswered_since(&self) -> Option<Nanos> {
        let is_waited_for =
            matches!(&self.state, ExchangeState::Attempting(one) if !one.is_answered());
        is_waited_for.then_some(self.last_event)
    }

    /// Whether this failure means that the backend had enough time to answer and sent nothing. The total
    /// time-out runs from the arrival, so it counts only if the backend had at least half of it: the rest
    /// may have been spent in the queue.
    pub fn is_silence(&self, table: &Table, failure: &Failure, now: Now) -> bool {
        let had = now.mono - self.dispatched;
        match failure {
            Failure::FirstEventTimeout => true,
            Failure::Deadline { progress: Progress::Nothing } => {
                had >= self.tier(table).timeouts.total / 2
            }
            _ => false,
        }
    }

    /// Whether the request holds no permit: it waits for its first one, or for another one after a retry.
    pub fn is_queued(&self) -> bool {
        self.requeued || self.queued.is_none()
    }

    /// The backend was full or could not be reached. This does not count as an attempt, and the request
    /// goes back into the queue.
    pub fn not_started(&mut self) {
        self.attempts -= 1;
        self.requeued();
    }

    /// The attempt ended without an answer, and the request goes back into the queue.
    pub fn requeued(&mut self) {
        if self.first.take().is_some() {
            // The client never sees events of an attempt that failed, so they are not measured.
            self.gaps = Histogram::fine();
            self.pieces = 0;
        }
        self.mode = AnswerMode::Whole;
        self.requeued = true;
        self.state = ExchangeState::Waiting;
    }

    /// Closes the client's connection after this answer, if the head that announces it is not sent yet.
    pub fn close_client(&mut self) {
        self.client.keep_alive &= self.begun;
    }

    /// Whether the client's connection may carry another request after this answer.
    pub fn keeps_client(&self) -> bool {
        self.client.keep_alive && !(self.begun && self.framing() == Framing::UntilClose)
    }

    /// The record of the finished request; returned once.
    pub fn take_record(&mut self) -> Option<Record> {
        self.record.take()
    }

    /// The backend of the current or last attempt.
    fn served_by<'t>(&self, table: &'t Table) -> Option<&'t Backend> {
        self.served.backend.map(|at| &table.backends[usize::from(at)])
    }

    fn tier<'t>(&self, table: &'t Table) -> &'t Tier {
        &table.tiers[usize::from(self.plan.tier)]
    }
}

/// The request id that the backend gets; unique for each attempt.
fn upstream_id(request_id: &str, nonce: u32) -> String {
    let mut id = Vec::with_capacity(request_id.len() + 9);
    id.extend_from_slice(request_id.as_bytes());
    id.push(b'-');
    write_hex(u64::from(nonce), 8, &mut id);
    String::from_utf8(id).unwrap_or_default()
}
