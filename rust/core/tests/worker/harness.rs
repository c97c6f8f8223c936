//! A worker, its fake sockets, private memory and a clock of its own. Each method is one event; after each one the
//! invariants of worker and admission are checked.

use std::collections::HashMap;
use std::sync::Arc;

use penstock_admission::Owner;
use penstock_core::endpoint::Chat;
use penstock_core::exchange::{AttemptResult, Client, Failure};
use penstock_core::generation::Generation;
use penstock_core::identity::RequestAttributes;
use penstock_core::metrics::Series;
use penstock_core::routing::BackendIndex;
use penstock_core::segment::{Memory, Segment};
use penstock_core::time::{Nanos, Now};
use penstock_core::worker::{ClientId, Ids, Key, RequestId, Submitted, TICK, Worker};
use serde_json::Value;

use crate::config::body;
use crate::fake::{Effect, FakeSockets};
use crate::support::client::Answer;
use crate::support::{INSTANT, START, build};

#[derive(Debug)]
pub struct Harness {
    pub worker: Worker,
    pub sockets: FakeSockets,
    pub segment: Segment,
    pub now: Now,
    owner: Owner,
    requests: HashMap<u64, RequestId>,
}

impl Harness {
    /// Worker 0 of two.
    pub fn new(config: Value) -> Self {
        let table = build(config);
        let segment = Segment::new(&table, 2, Memory::Private, START.mono).expect("memory");
        let owner = Owner { worker: 0, generation: segment.admission.begin_worker(0) };
        Self::of(Arc::new(Generation::first(table)), segment, owner, START)
    }

    fn of(generation: Arc<Generation>, segment: Segment, owner: Owner, now: Now) -> Self {
        let ids = Ids::seeded(u64::from(owner.worker) + 1);
        Harness {
            worker: Worker::new(generation, segment.clone(), owner, ids, now.mono),
            sockets: FakeSockets::default(),
            segment,
            now,
            owner,
            requests: HashMap::new(),
        }
    }

    /// Worker 1, on the same memory.
    pub fn neighbour(&self) -> Self {
        let owner = Owner { worker: 1, generation: self.segment.admission.begin_worker(1) };
        Self::of(self.worker.generation().clone(), self.segment.clone(), owner, self.now)
    }

    /// Another worker that is the same one in the eyes of admission.
    pub fn of_same_owner(&self) -> Self {
        let generation = self.worker.generation().clone();
        Self::of(generation, self.segment.clone(), self.owner, self.now)
    }

    fn event<R>(&mut self, tell: impl FnOnce(&mut Worker, &mut FakeSockets, Now) -> R) -> R {
        let result = tell(&mut self.worker, &mut self.sockets, self.now);
        self.worker.invariants();
        assert!(self.segment.admission.invariants().ok, "admission's sums disagree with its rows");
        result
    }

    /// A streamed request of a client's own text, in the first tier.
    pub fn submit(&mut self, client: u64) {
        self.submit_body(client, &body(INSTANT, &format!("text of {client}"), true));
    }

    pub fn submit_body(&mut self, client: u64, body: &[u8]) {
        self.submit_as(client, body, RequestAttributes::default());
    }

    pub fn submit_as(&mut self, client: u64, body: &[u8], attributes: RequestAttributes) {
        self.sockets.expect_client(client);
        let submitted = Submitted {
            endpoint: &Chat,
            body,
            client: Client {
                request_id: format!("req-{client}"),
                keep_alive: true,
                http10: false,
                headers: Vec::new(),
            },
            client_id: ClientId(Key::from(client)),
            attributes,
        };
        let id = self.event(|worker, sockets, now| worker.submit(sockets, submitted, now));
        match id {
            Some(id) => self.requests.insert(client, id),
            None => self.requests.remove(&client),
        };
    }

    /// The request of a client, if it was planned.
    pub fn request(&self, client: u64) -> Option<RequestId> {
        self.requests.get(&client).copied()
    }

    /// Submits a request whose connection opens at once. Returns the connection.
    pub fn start(&mut self, client: u64) -> usize {
        self.submit(client);
        self.connect_last()
    }

    /// As [`Self::start`], with a whole answer wanted.
    pub fn start_whole(&mut self, client: u64) -> usize {
        self.submit_body(client, &body(INSTANT, &format!("text of {client}"), false));
        self.connect_last()
    }

    fn connect_last(&mut self) -> usize {
        let effects = self.take();
        let [.., Effect::Connect(connection, _)] = effects[..] else { panic!("{effects:?}") };
        self.connected(connection);
        assert_eq!(self.take(), [Effect::Send(connection)]);
        connection
    }

    pub fn connected(&mut self, connection: usize) {
        self.sockets.open(connection);
        let id = self.sockets.id(connection);
        self.event(|worker, sockets, now| worker.connected(sockets, id, now));
    }

    /// Nobody listens there.
    pub fn refused(&mut self, connection: usize) {
        self.connect_failed(connection, &Failure::ConnectRefused { detail: "refused".to_owned() });
    }

    pub fn connect_failed(&mut self, connection: usize, failure: &Failure) {
        let id = self.sockets.id(connection);
        self.event(|worker, sockets, now| worker.connect_failed(sockets, id, failure, now));
    }

    pub fn bytes(&mut self, connection: usize, data: &[u8]) {
        let id = self.sockets.id(connection);
        self.event(|worker, sockets, now| worker.upstream_bytes(sockets, id, data, now));
    }

    pub fn eof(&mut self, connection: usize) {
        let id = self.sockets.id(connection);
        self.event(|worker, sockets, now| worker.upstream_eof(sockets, id, now));
    }

    /// The connection is gone, by a reset.
    pub fn reset(&mut self, connection: usize) {
        let id = self.sockets.id(connection);
        self.event(|worker, sockets, now| worker.upstream_lost(sockets, id, true, now));
    }

    /// The connection is gone, by an orderly end.
    pub fn closed(&mut self, connection: usize) {
        let id = self.sockets.id(connection);
        self.event(|worker, sockets, now| worker.upstream_lost(sockets, id, false, now));
    }

    pub fn gone(&mut self, client: u64) {
        let id = self.requests[&client];
        self.event(|worker, sockets, now| worker.client_gone(sockets, id, now));
    }

    /// The client's socket is full, or has room again.
    pub fn flow(&mut self, client: u64, full: bool) {
        let id = self.requests[&client];
        self.event(|worker, sockets, now| worker.client_flow(sockets, id, full, now));
    }

    pub fn woken(&mut self) {
        self.event(Worker::woken);
    }

    pub fn drain(&mut self) {
        self.event(|worker, sockets, _| worker.drain(sockets));
    }

    pub fn cut(&mut self, tiers: &[u16]) {
        self.event(|worker, sockets, now| worker.cut(sockets, tiers, now));
    }

    pub fn shut_down(&mut self) {
        self.event(Worker::shut_down);
    }

    pub fn panicked(&mut self, client: u64) {
        let id = self.requests[&client];
        self.event(|worker, sockets, now| {
            worker.current = Some(id);
            worker.panicked(sockets, now);
        });
    }

    /// Time passes, and the timers run each tick.
    pub fn pass(&mut self, time: Nanos) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            let step = TICK.min(end - self.now.mono);
            self.now.mono += step;
            self.now.unix += step;
            self.event(Worker::tick);
        }
    }

    /// Time passes until something is done, for at most so long. Returns how long it took.
    pub fn pass_until_effect(&mut self, most: Nanos) -> Nanos {
        let begin = self.now.mono;
        assert_eq!(self.take(), []);
        while self.now.mono < begin + most {
            self.pass(TICK);
            if self.sockets.has_effects() {
                return self.now.mono - begin;
            }
        }
        panic!("nothing was done for {most} ns");
    }

    /// What was done since the last call.
    pub fn take(&mut self) -> Vec<Effect> {
        self.sockets.take()
    }

    /// Requests that are queued, running and closing, of all workers.
    pub fn counts(&self) -> [u64; 3] {
        let sums = self.segment.admission.invariants();
        [sums.queued, sums.running, sums.closing]
    }

    /// What a client has got, read as a client would.
    pub fn answer(&self, client: u64) -> Answer {
        Answer::read(self.sockets.wire(client))
    }

    /// The status of a client's answer, if it has begun.
    pub fn answer_status(&self, client: u64) -> Option<u16> {
        (!self.sockets.wire(client).is_empty()).then(|| self.answer(client).status)
    }

    /// The status and the code of the error that a client has got.
    pub fn error(&self, client: u64) -> (u16, String) {
        let error = self.answer(client).error().expect("an error");
        (error.status, error.code)
    }

    /// The log lines since the last call.
    pub fn log(&mut self) -> Vec<Value> {
        let log = std::mem::take(&mut self.worker.log);
        let lines = log.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
    }

    /// Of the only log line since the last call: who ended the request and where, and its attempts.
    pub fn ended(&mut self) -> (String, u64) {
        let lines = self.log();
        let [line] = &lines[..] else { panic!("one line: {lines:?}") };
        let term = line["term"].as_str().expect("term").to_owned();
        (term, line["attempts"].as_u64().expect("attempts"))
    }

    /// How often attempts at a backend have had a result.
    pub fn attempts(&self, backend: BackendIndex, result: AttemptResult) -> u64 {
        let series = self.segment.registry.series();
        let is_it = |one: &Series| *one == Series::Attempts { backend, result };
        series.iter().find(|(one, _)| is_it(one)).map_or(0, |(_, count)| *count)
    }
}
