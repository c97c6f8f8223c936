//! The simulated world: workers, clients and backends, driven by one event at a time.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use penstock_admission::kill_points::kill_after;
use penstock_admission::{Health, Owner};
use penstock_core::client::{Answered, ClientConfig, ClientConnection, Received, Step};
use penstock_core::endpoint::ENDPOINTS;
use penstock_core::exchange::{Client as Meta, Failure};
use penstock_core::generation::Generation;
use penstock_core::identity::IdentityHeaders;
use penstock_core::openai::{ApiError, Code};
use penstock_core::segment::{Memory, Segment};
use penstock_core::time::{MILLISECOND, Nanos, Now, SECOND};
use penstock_core::worker::{ClientId, Ids, Slab, Submitted, TICK, Worker, faults};

use crate::agenda::Agenda;
use crate::answer;
use crate::backend::{self, Backend, Behavior, Piece, What};
use crate::client::Client;
use crate::link::{Arrival, Link};
use crate::process::{Collector, Effect, Process};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::socket::{Sent, Socket};
use crate::table;

/// Virtual time at the start.
const START: Nanos = 1_000 * SECOND;
const UNIX: Nanos = 1_700_000_000 * SECOND;
/// Bytes that a worker's transport to a client buffers before it reports that it is full.
const HIGH_WATER: usize = 1024;
/// Longest time until a backend stops after its connection was closed; shorter than the abort grace.
const REACTION: Nanos = 150 * MILLISECOND;
/// All requests must have ended this long after the last new one: total time-out, retries, abort grace.
const END: Nanos = 20 * SECOND;

#[derive(Debug)]
enum Event {
    ClientActs(usize),
    FromClient(usize, Sent),
    ReadsSocket(usize),
    ClientReads(usize),
    Opens(usize),
    AtBackend(usize, Arrival),
    Emits(usize),
    BackendStops(usize),
    AtWorker(usize, Arrival),
    ReadsOn(usize),
    Ticks(usize, u16),
    Wakes(usize, u16),
    Controls,
    Danger,
    Reaped(usize),
    CutsDrain(usize, u16),
}

/// The complete state of a simulation.
pub struct World {
    scenario: Scenario,
    random: Random,
    agenda: Agenda<Event>,
    now: Nanos,
    /// From this time on there are no new requests and no new dangers.
    ends_at: Option<Nanos>,
    client_config: ClientConfig,
    segment: Segment,
    generation: Arc<Generation>,
    processes: Vec<Process>,
    backends: Vec<Backend>,
    clients: Vec<Client>,
    sockets: Vec<Socket>,
    links: Vec<Link>,
    pub answered: u64,
    pub failed: u64,
    pub deaths: u64,
}

/// The result of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    pub steps: u64,
    pub answered: u64,
    pub failed: u64,
    pub deaths: u64,
}

impl World {
    pub fn new(scenario: &Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let one_bad = scenario.dangers.one_bad;
        let generation = Arc::new(table::generation(1, scenario.backends, one_bad, &mut random));
        let workers = scenario.workers as usize;
        let segment = Segment::new(&generation.table, workers, Memory::Private, START)
            .expect("ordinary memory");
        let mut world = World {
            scenario: scenario.clone(),
            random,
            agenda: Agenda::default(),
            now: START,
            ends_at: None,
            client_config: ClientConfig::new(16 << 10, 1 << 20, IdentityHeaders::default()),
            segment,
            generation,
            processes: Vec::new(),
            backends: Vec::new(),
            clients: Vec::new(),
            sockets: Vec::new(),
            links: Vec::new(),
            answered: 0,
            failed: 0,
            deaths: 0,
        };
        for index in 0..workers {
            world.processes.push(Process {
                index: index as u16,
                life: 0,
                worker: None,
                stopped_until: 0,
                is_draining: false,
                dies_after: None,
                clients: Slab::default(),
                links: Vec::new(),
            });
            world.begin_life(index);
        }
        for at in 0..scenario.backends {
            let is_the_bad_one = one_bad && at == 0;
            let badness = if is_the_bad_one {
                60
            } else if scenario.dangers.faults {
                world.random.below(40)
            } else {
                0
            };
            world.backends.push(Backend { badness, is_the_bad_one, ..Backend::default() });
        }
        for at in 0..scenario.clients as usize {
            world.clients.push(Client::default());
            let begins = START + world.random.below(50) * MILLISECOND;
            world.agenda.add(begins, Event::ClientActs(at));
        }
        world.agenda.add(START + MILLISECOND, Event::Controls);
        world.agenda.add(START + 20 * MILLISECOND, Event::Danger);
        world
    }

    /// Runs to the end. Fails with the invariant that was violated.
    pub fn run(mut self) -> Result<Summary, String> {
        let mut steps = 0;
        while let Some((at, event)) = self.agenda.take_next() {
            self.now = self.now.max(at);
            steps += 1;
            if steps == self.scenario.steps {
                self.ends_at = Some(self.now);
            }
            if self.ends_at.is_some_and(|end| self.now > end + END) {
                break;
            }
            let told = format!("{event:?}");
            let held =
                catch_unwind(AssertUnwindSafe(|| self.happen(event).and_then(|()| self.check())));
            held.unwrap_or_else(|panic| Err(format!("panicked: {}", text_of(&*panic))))
                .map_err(|error| format!("step {steps}: {error}\n  after {}", short(&told)))?;
        }
        self.check_end().map_err(|error| format!("at the end: {error}"))?;
        let World { answered, failed, deaths, .. } = self;
        Ok(Summary { steps, answered, failed, deaths })
    }

    fn is_ending(&self) -> bool {
        self.ends_at.is_some()
    }

    fn soon(&mut self, most: Nanos) -> Nanos {
        self.now + self.random.below(most) + 1
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::ClientActs(client) => self.client_acts(client),
            Event::FromClient(socket, sent) => self.hear_client(socket, sent)?,
            Event::ReadsSocket(socket) => self.read_socket(socket)?,
            Event::ClientReads(socket) => self.client_reads(socket)?,
            Event::Opens(link) => self.opens(link)?,
            Event::AtBackend(link, arrival) => self.at_backend(link, arrival)?,
            Event::Emits(link) => self.emits(link),
            Event::BackendStops(link) => self.backend_stops(link),
            Event::AtWorker(link, arrival) => {
                self.links[link].held.push_back(arrival);
                self.read_link(link)?;
            }
            Event::ReadsOn(link) => self.read_link(link)?,
            Event::Ticks(process, life) => self.ticks(process, life)?,
            Event::Wakes(process, life) => {
                if self.processes[process].life == life {
                    self.tell(process, |worker, io, now| worker.woken(io, now))?;
                }
            }
            Event::Controls => self.controls(),
            Event::Danger => self.danger()?,
            Event::Reaped(process) => self.begin_life(process),
            Event::CutsDrain(process, life) => self.cuts_drain(process, life)?,
        }
        Ok(())
    }

    // Workers.

    fn begin_life(&mut self, at: usize) {
        let process = &mut self.processes[at];
        let life = self.segment.admission.begin_worker(process.index);
        let owner = Owner { worker: process.index, generation: life };
        let ids = Ids::seeded(self.random.number());
        let (generation, segment) = (self.generation.clone(), self.segment.clone());
        process.worker = Some(Worker::new(generation, segment, owner, ids, self.now));
        (process.life, process.is_draining, process.stopped_until) = (life, false, 0);
        process.dies_after = None;
        (process.clients, process.links) = (Slab::default(), Vec::new());
        self.agenda.add(self.now + TICK, Event::Ticks(at, life));
    }

    /// Passes an event to a worker and executes the resulting effects. `None`: the worker is dead or panicked.
    fn tell<R>(
        &mut self,
        at: usize,
        event: impl FnOnce(&mut Worker, &mut Collector<'_>, Now) -> R,
    ) -> Result<Option<R>, String> {
        let now = Now { mono: self.now, unix: UNIX + self.now };
        let process = &mut self.processes[at];
        let Some(worker) = &mut process.worker else { return Ok(None) };
        let (of_process, links) = (&process.links, &self.links);
        let mut io = Collector { effects: Vec::new(), of_process, links };
        let points = process.dies_after.take();
        let event = || event(worker, &mut io, now);
        let result = catch_unwind(AssertUnwindSafe(|| match points {
            Some(points) => kill_after(points, event),
            None => Some(event()),
        }));
        let result = match result {
            Ok(None) => {
                // Writes before the panic have already reached the kernel.
                let effects = io.effects;
                for effect in effects {
                    if matches!(effect, Effect::WriteUpstream(..)) {
                        self.apply(at, effect)?;
                    }
                }
                self.kill(at);
                return Ok(None);
            }
            Ok(result) => result,
            Err(panic) if !faults::is_of_test(&panic) => resume_unwind(panic),
            Err(_) => {
                worker.panicked(&mut io, now);
                None
            }
        };
        worker.current = None;
        worker.log.clear();
        worker.outages.clear();
        worker.invariants();
        let effects = io.effects;
        for effect in effects {
            self.apply(at, effect)?;
        }
        for other in 0..self.processes.len() {
            if other != at && self.segment.admission.has_notifications(other as u16) {
                let life = self.processes[other].life;
                let at = self.soon(MILLISECOND);
                self.agenda.add(at, Event::Wakes(other, life));
            }
        }
        Ok(result)
    }

    fn apply(&mut self, at: usize, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::WriteClient(client, bytes) => {
                let Some(&socket) = self.processes[at].clients.get(client.0) else {
                    return Err(format!("bytes for a client that is gone: {}", bytes.len()));
                };
                self.write_client(socket, &bytes)?;
            }
            Effect::AnswerDone(client, keep_alive) => {
                let Some(socket) = self.processes[at].clients.remove(client.0) else {
                    return Err("an answer is done twice".to_owned());
                };
                self.answer_done(socket, keep_alive)?;
            }
            Effect::DropClient(client) => {
                self.processes[at].clients.remove(client.0);
            }
            Effect::Connect(id, backend) => {
                let life = self.processes[at].life;
                let link = self.links.len();
                self.links.push(Link::new(at, life, id, usize::from(backend)));
                let links = &mut self.processes[at].links;
                links.resize(links.len().max(id.place() + 1), None);
                links[id.place()] = Some(link);
                // Some connects never complete; the worker's time-out has to end them.
                let hangs = self.scenario.dangers.faults && self.random.percent(1);
                let at = if hangs { self.now + 3 * SECOND } else { self.soon(4 * MILLISECOND) };
                self.agenda.add(at, Event::Opens(link));
            }
            Effect::WriteUpstream(id, bytes) => {
                let Some(link) = self.processes[at].link(id) else {
                    return Err("written to a connection that is gone".to_owned());
                };
                self.send_up(link, Arrival::Bytes(bytes));
            }
            Effect::Pause(id) => {
                if let Some(link) = self.processes[at].link(id) {
                    self.links[link].is_paused = true;
                }
            }
            Effect::Resume(id) => {
                if let Some(link) = self.processes[at].link(id) {
                    self.links[link].is_paused = false;
                    self.agenda.add(self.now, Event::ReadsOn(link));
                }
            }
            Effect::HalfClose(id) => {
                if let Some(link) = self.processes[at].link(id) {
                    self.send_up(link, Arrival::End);
                }
            }
            Effect::Close(id) => {
                if let Some(link) = self.processes[at].link(id) {
                    self.processes[at].links[id.place()] = None;
                    self.links[link].is_open = false;
                    self.send_up(link, Arrival::Broken);
                }
            }
        }
        Ok(())
    }

    fn ticks(&mut self, at: usize, life: u16) -> Result<(), String> {
        let process = &self.processes[at];
        if process.life != life || process.worker.is_none() {
            return Ok(());
        }
        if process.stopped_until > self.now {
            self.agenda.add(process.stopped_until, Event::Ticks(at, life));
            return Ok(());
        }
        self.tell(at, |worker, io, now| worker.tick(io, now))?;
        let is_busy = self.processes[at].worker.as_ref().is_some_and(|worker| worker.active() > 0);
        let pause = if is_busy { TICK } else { 5 * TICK };
        self.agenda.add(self.now + pause, Event::Ticks(at, life));
        Ok(())
    }

    /// The process dies, and the kernel closes all of its connections.
    fn kill(&mut self, at: usize) {
        let process = &mut self.processes[at];
        if process.worker.take().is_none() {
            return;
        }
        process.links.clear();
        self.deaths += 1;
        let (index, life) = (process.index, process.life);
        for link in 0..self.links.len() {
            if self.links[link].process == at && self.links[link].life == life {
                self.links[link].is_open = false;
                self.send_up(link, Arrival::Broken);
            }
        }
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].process == at && self.sockets[socket].life == life {
                self.lose(socket);
            }
        }
        self.segment.admission.reclaim(Owner { worker: index, generation: life }, self.now);
        let at_time = self.soon(200 * MILLISECOND);
        self.agenda.add(at_time, Event::Reaped(at));
    }

    /// A client's connection is reset.
    fn lose(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if std::mem::replace(&mut socket.is_gone, true) {
            return;
        }
        let client = &mut self.clients[socket.client];
        if client.socket == Some(at) {
            client.socket = None;
            client.asked.clear();
            client.wire.clear();
            let (number, again) = (socket.client, self.soon(30 * MILLISECOND));
            self.agenda.add(again, Event::ClientActs(number));
        }
    }

    fn cuts_drain(&mut self, at: usize, life: u16) -> Result<(), String> {
        let process = &self.processes[at];
        if process.life != life || process.worker.is_none() {
            return Ok(());
        }
        self.tell(at, |worker, io, now| worker.cut(io, &[0, 1], now))?;
        self.tell(at, |worker, io, now| worker.shut_down(io, now))?;
        let left = self.processes[at].worker.as_ref().map_or(0, Worker::active);
        if left > 0 {
            return Err(format!("{left} requests outlive a shutdown"));
        }
        // Answers that were already written still reach their clients through the kernel.
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].process == at && self.sockets[socket].life == life {
                self.close_socket(socket);
            }
        }
        self.kill(at);
        Ok(())
    }

    // Control and dangers.

    fn controls(&mut self) {
        self.segment.admission.tick(self.now);
        for at in 0..self.backends.len() {
            let is_there = self.backends[at].closed_until <= self.now;
            let health = if is_there { Health::Healthy } else { Health::Down };
            if !is_there {
                self.segment.admission.note_refused(at as u16, self.now);
            }
            // Probes are rare, so that requests discover failures first.
            if is_there || self.random.percent(10) {
                self.segment.admission.set_health(at as u16, health, self.now);
            }
        }
        self.agenda.add(self.now + 50 * MILLISECOND, Event::Controls);
    }

    fn danger(&mut self) -> Result<(), String> {
        if self.is_ending() {
            for process in &mut self.processes {
                process.stopped_until = process.stopped_until.min(self.now);
            }
            return Ok(());
        }
        let dangers = self.scenario.dangers;
        let at = self.random.index(self.processes.len());
        match self.random.below(8) {
            0 if dangers.kills => self.kill(at),
            6 if dangers.kills => self.processes[at].dies_after = Some(self.random.between(1, 120)),
            1 if dangers.stops => {
                self.processes[at].stopped_until = self.now + self.random.below(2 * SECOND);
            }
            2 if dangers.drains && self.random.percent(30) => {
                let (life, cut) = (self.processes[at].life, self.soon(SECOND));
                self.processes[at].is_draining = true;
                self.tell(at, |worker, io, _| worker.drain(io))?;
                self.agenda.add(cut, Event::CutsDrain(at, life));
            }
            3 if dangers.swaps => self.swap()?,
            4 if dangers.panics => {
                let places = ["submit", "offered", "upstream", "timer", "release"];
                faults::arm(places[self.random.index(places.len())].to_owned());
            }
            5 if dangers.faults || dangers.one_bad => {
                let bad = if dangers.one_bad { 0 } else { self.random.index(self.backends.len()) };
                self.backends[bad].closed_until = self.now + self.random.below(SECOND);
            }
            _ => {}
        }
        let next = self.soon(100 * MILLISECOND);
        self.agenda.add(next, Event::Danger);
        Ok(())
    }

    /// Switches all workers to a new configuration.
    fn swap(&mut self) -> Result<(), String> {
        let number = self.generation.number + 1;
        let one_bad = self.scenario.dangers.one_bad;
        let next = table::generation(number, self.scenario.backends, one_bad, &mut self.random);
        self.generation = Arc::new(next);
        let limits: Vec<u32> =
            self.generation.table.backends.iter().map(|backend| backend.concurrency).collect();
        for (at, slots) in limits.into_iter().enumerate() {
            self.segment.admission.set_limits(at as u16, slots, self.now);
        }
        for at in 0..self.processes.len() {
            let generation = self.generation.clone();
            self.tell(at, |worker, _, now| worker.set_generation(generation, now.mono))?;
        }
        Ok(())
    }

    // Clients.

    fn client_acts(&mut self, at: usize) {
        if self.is_ending()
            || self.clients[at].socket.is_some() && !self.clients[at].asked.is_empty()
        {
            return;
        }
        let socket = match self.clients[at].socket {
            Some(socket) if self.random.percent(70) => socket,
            Some(socket) => {
                // The client has its answers and closes.
                self.clients[at].socket = None;
                let time = self.sockets[socket].up_at.max(self.now) + 1;
                self.agenda.add(time, Event::FromClient(socket, Sent::Left));
                return self.act_again(at);
            }
            None => match self.open_socket(at) {
                Some(socket) => socket,
                None => return self.act_again(at),
            },
        };
        let burst = if self.random.percent(25) { self.random.between(2, 4) } else { 1 };
        let mut bytes = Vec::new();
        for _ in 0..burst {
            let (asked, request) = self.clients[at].ask(at, &mut self.random);
            bytes.extend(request);
            self.clients[at].asked.push_back(asked);
        }
        while !bytes.is_empty() {
            let cut = if self.random.percent(30) {
                self.random.index(bytes.len()) + 1
            } else {
                bytes.len()
            };
            let piece: Vec<u8> = bytes.drain(..cut).collect();
            self.send(socket, Sent::Bytes(piece));
        }
        if self.scenario.dangers.clients {
            match self.random.below(10) {
                0 | 1 => {
                    // The client leaves, perhaps in the middle of a request.
                    let leaves = self.soon(120 * MILLISECOND);
                    self.agenda.add(leaves, Event::FromClient(socket, Sent::Left));
                }
                2 => self.clients[at].stalled_until = self.soon(2 * SECOND),
                _ => {}
            }
        }
    }

    fn act_again(&mut self, at: usize) {
        let again = self.soon(50 * MILLISECOND);
        self.agenda.add(again, Event::ClientActs(at));
    }

    /// Opens a connection to a random worker that accepts connections.
    fn open_socket(&mut self, client: usize) -> Option<usize> {
        let at = self.random.index(self.processes.len());
        let process = &self.processes[at];
        if process.worker.is_none() || process.is_draining {
            return None;
        }
        self.sockets.push(Socket {
            client,
            process: at,
            life: process.life,
            connection: ClientConnection::new(self.now),
            client_id: None,
            unread: Vec::new(),
            is_full: false,
            is_paused: false,
            held: VecDeque::new(),
            up_at: self.now,
            is_closed: false,
            is_gone: false,
        });
        self.clients[client].socket = Some(self.sockets.len() - 1);
        self.clients[client].socket
    }

    fn send(&mut self, socket: usize, sent: Sent) {
        let delay = self.random.below(3 * MILLISECOND);
        let at = (self.now + delay).max(self.sockets[socket].up_at);
        self.sockets[socket].up_at = at;
        self.agenda.add(at, Event::FromClient(socket, sent));
    }

    fn hear_client(&mut self, at: usize, sent: Sent) -> Result<(), String> {
        let socket = &mut self.sockets[at];
        if socket.is_gone || socket.is_closed {
            return Ok(());
        }
        match sent {
            // The event poller reports a closed connection even while reading is paused.
            Sent::Left => {
                let (process, left) = (socket.process, socket.connection.leave(self.now));
                if let Some(id) = left.request {
                    self.tell(process, |worker, io, now| worker.client_gone(io, id, now))?;
                }
                self.lose(at);
                Ok(())
            }
            Sent::Bytes(bytes) => {
                socket.held.push_back(bytes);
                self.read_socket(at)
            }
        }
    }

    /// Delivers what a client has sent, in order, until its worker pauses reading.
    fn read_socket(&mut self, at: usize) -> Result<(), String> {
        loop {
            let socket = &mut self.sockets[at];
            if socket.is_gone || socket.is_closed || socket.is_paused {
                return Ok(());
            }
            let stopped_until = self.processes[socket.process].stopped_until;
            if stopped_until > self.now {
                self.agenda.add(stopped_until, Event::ReadsSocket(at));
                return Ok(());
            }
            let Some(bytes) = socket.held.pop_front() else { return Ok(()) };
            match socket.connection.received(&bytes, self.now) {
                Received::Step => self.advance(at, &bytes)?,
                Received::Kept => {}
                Received::StopReading => socket.is_paused = true,
            }
        }
    }

    /// Passes received bytes to the connection and acts on the result, as the real event loop does.
    fn advance(&mut self, at: usize, mut data: &[u8]) -> Result<(), String> {
        loop {
            let socket = &mut self.sockets[at];
            match socket.connection.step(&self.client_config, data, false) {
                Step::Wait => return Ok(()),
                Step::ReadOn => {
                    socket.is_paused = false;
                    self.agenda.add(self.now, Event::ReadsSocket(at));
                    return Ok(());
                }
                Step::HandOver => return Err("the lane does not take a plain request".to_owned()),
                Step::Serve(request, attributes) => {
                    let process = socket.process;
                    let client_id = ClientId(self.processes[process].clients.insert(|_| at));
                    self.sockets[at].client_id = Some(client_id);
                    let (endpoint, body) = (ENDPOINTS[request.path()], request.body());
                    let meta = |worker: &mut Worker| Meta {
                        request_id: worker.ids.request_id(None),
                        keep_alive: true,
                        http10: false,
                        headers: Vec::new(),
                    };
                    let taken = self.tell(process, |worker, io, now| {
                        let client = meta(worker);
                        let submitted = Submitted { endpoint, body, client, client_id, attributes };
                        worker.submit(io, submitted, now)
                    })?;
                    if taken.is_none() && self.processes[process].clients.get(client_id.0).is_some()
                    {
                        self.tell(process, |worker, io, now| {
                            let client = meta(worker);
                            let error = ApiError::new(Code::InternalError, "internal error");
                            worker.reject(io, endpoint, &error, &client, client_id, None, now);
                        })?;
                    }
                    let paused = self.sockets[at].connection.submitted(taken.flatten());
                    if let Some(id) = paused {
                        self.tell(process, |worker, io, now| {
                            worker.client_flow(io, id, true, now);
                        })?;
                    }
                }
            }
            data = b"";
        }
    }

    fn write_client(&mut self, at: usize, bytes: &[u8]) -> Result<(), String> {
        let socket = &mut self.sockets[at];
        if socket.is_gone {
            return Ok(());
        }
        let was_empty = socket.unread.is_empty();
        socket.unread.extend_from_slice(bytes);
        if was_empty {
            let reads = self.soon(2 * MILLISECOND);
            self.agenda.add(reads, Event::ClientReads(at));
        }
        let socket = &mut self.sockets[at];
        if socket.unread.len() > HIGH_WATER && !socket.is_full {
            socket.is_full = true;
            let (process, request) = (socket.process, socket.connection.write_flow(true, self.now));
            if let Some(id) = request {
                self.tell(process, |worker, io, now| worker.client_flow(io, id, true, now))?;
            }
        }
        Ok(())
    }

    fn answer_done(&mut self, at: usize, keep_alive: bool) -> Result<(), String> {
        let socket = &mut self.sockets[at];
        socket.client_id = None;
        match socket.connection.answered(keep_alive, self.now) {
            Answered::Submitter | Answered::Nothing => Ok(()),
            Answered::Step => self.advance(at, b""),
            Answered::Close => {
                self.close_socket(at);
                Ok(())
            }
        }
    }

    /// The worker closes a client's connection; the client reads the remaining bytes, then end of file.
    fn close_socket(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if socket.is_gone || std::mem::replace(&mut socket.is_closed, true) {
            return;
        }
        if socket.unread.is_empty() {
            let reads = self.soon(2 * MILLISECOND);
            self.agenda.add(reads, Event::ClientReads(at));
        }
    }

    fn client_reads(&mut self, at: usize) -> Result<(), String> {
        let (number, stalled_until) = {
            let socket = &self.sockets[at];
            (socket.client, self.clients[socket.client].stalled_until)
        };
        if self.sockets[at].is_gone {
            return Ok(());
        }
        if stalled_until > self.now {
            self.agenda.add(stalled_until, Event::ClientReads(at));
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.sockets[at].unread);
        if self.clients[number].socket == Some(at) {
            self.clients[number].wire.extend_from_slice(&bytes);
            self.understand(number)?;
        }
        let socket = &mut self.sockets[at];
        if socket.is_closed {
            let left = self.clients[number].asked.len();
            if self.clients[number].socket == Some(at) && left > 0 {
                let client = &self.clients[number];
                return Err(format!(
                    "closed with {left} unanswered, behind {}",
                    penstock_testing::show(&client.wire)
                ));
            }
            self.lose(at);
            return Ok(());
        }
        if std::mem::replace(&mut socket.is_full, false) {
            let (process, request) =
                (socket.process, socket.connection.write_flow(false, self.now));
            match request {
                Some(id) => {
                    self.tell(process, |worker, io, now| worker.client_flow(io, id, false, now))?;
                }
                None => self.advance(at, b"")?,
            }
        }
        Ok(())
    }

    /// Checks what a client has read against what it asked for.
    fn understand(&mut self, number: usize) -> Result<(), String> {
        while let Some((given, length)) = answer::first(&self.clients[number].wire)? {
            let client = &mut self.clients[number];
            client.wire.drain(..length);
            let asked = client.asked.pop_front().ok_or("an answer that nobody has asked for")?;
            let end =
                answer::check(&asked, &given).map_err(|error| format!("{asked:?}: {error}"))?;
            match end {
                answer::End::Answered => self.answered += 1,
                answer::End::Failed(status) => {
                    self.failed += 1;
                    let is_alone = !self.scenario.dangers.panics;
                    if self.scenario.dangers.one_bad && is_alone && status == 502 {
                        let body = penstock_testing::show(&given.body);
                        return Err(format!("{asked:?}: 502 beside a healthy backend: {body}"));
                    }
                }
            }
            let client = &mut self.clients[number];
            if given.closes() {
                // `connection: close`: requests pipelined after this one are not answered.
                client.asked.clear();
            }
            if client.asked.is_empty() {
                self.act_again(number);
            }
        }
        if self.clients[number].asked.is_empty() && !self.clients[number].wire.is_empty() {
            let wire = penstock_testing::show(&self.clients[number].wire);
            return Err(format!("bytes behind the last answer: {wire}"));
        }
        Ok(())
    }

    // Backends.

    fn send_up(&mut self, at: usize, arrival: Arrival) {
        let delay = self.random.below(3 * MILLISECOND);
        let link = &mut self.links[at];
        link.up_at = (self.now + delay).max(link.up_at);
        self.agenda.add(link.up_at, Event::AtBackend(at, arrival));
    }

    fn send_down(&mut self, at: usize, arrival: Arrival) {
        let delay = self.random.below(3 * MILLISECOND);
        let link = &mut self.links[at];
        link.down_at = (self.now + delay).max(link.down_at);
        self.agenda.add(link.down_at, Event::AtWorker(at, arrival));
    }

    fn opens(&mut self, at: usize) -> Result<(), String> {
        let link = &mut self.links[at];
        let (process, id) = (link.process, link.id);
        if self.processes[process].link(id) != Some(at) {
            return Ok(());
        }
        let stopped_until = self.processes[process].stopped_until;
        if stopped_until > self.now {
            self.agenda.add(stopped_until, Event::Opens(at));
            return Ok(());
        }
        if self.backends[link.backend].closed_until > self.now {
            let failure = Failure::ConnectRefused { detail: "refused".to_owned() };
            self.tell(process, |worker, io, now| worker.connect_failed(io, id, &failure, now))?;
            // A failed connect ends the connection.
            if self.processes[process].link(id) == Some(at) {
                return Err("a connection that failed is kept".to_owned());
            }
            return Ok(());
        }
        link.is_open = true;
        self.tell(process, |worker, io, now| worker.connected(io, id, now))?;
        Ok(())
    }

    fn at_backend(&mut self, at: usize, arrival: Arrival) -> Result<(), String> {
        let link = &mut self.links[at];
        match arrival {
            Arrival::Bytes(bytes) => {
                link.received.extend_from_slice(&bytes);
                let Some(request) = backend::read(&link.received)? else { return Ok(()) };
                link.received.drain(..request.length);
                if !link.script.is_empty() || link.running > 0 {
                    return Err("a request before the answer to the one ahead".to_owned());
                }
                let backend = &mut self.backends[link.backend];
                let behavior = backend.behavior(&mut self.random);
                if !matches!(behavior, Behavior::Full | Behavior::Fails) {
                    link.running = request.n;
                    backend.running += request.n;
                }
                link.script = backend::answer(&request, behavior, &mut self.random).into();
                self.emit_next(at);
            }
            Arrival::End | Arrival::Broken => {
                if !std::mem::replace(&mut link.is_stopping, true) {
                    let reaction = self.random.below(REACTION);
                    self.agenda.add(self.now + reaction, Event::BackendStops(at));
                }
            }
        }
        Ok(())
    }

    fn emit_next(&mut self, at: usize) {
        if let Some(piece) = self.links[at].script.front() {
            self.agenda.add(self.now + piece.after, Event::Emits(at));
        }
    }

    fn emits(&mut self, at: usize) {
        let Some(Piece { what, .. }) = self.links[at].script.pop_front() else { return };
        match what {
            What::Stops => self.stop_running(at),
            What::Bytes(mut bytes) => {
                if bytes.len() > 1 && self.random.percent(30) {
                    let cut = self.random.index(bytes.len() - 1) + 1;
                    let rest = bytes.split_off(cut);
                    self.send_down(at, Arrival::Bytes(bytes));
                    bytes = rest;
                }
                self.send_down(at, Arrival::Bytes(bytes));
            }
            What::Closes => self.send_down(at, Arrival::End),
            What::Breaks => self.send_down(at, Arrival::Broken),
        }
        self.emit_next(at);
    }

    fn stop_running(&mut self, at: usize) {
        let link = &mut self.links[at];
        self.backends[link.backend].running -= std::mem::take(&mut link.running);
    }

    /// The backend notices that its client has closed the connection, and stops.
    fn backend_stops(&mut self, at: usize) {
        self.links[at].script.clear();
        self.stop_running(at);
        self.send_down(at, Arrival::End);
    }

    /// Delivers what has arrived for a worker, in order, until it pauses reading.
    fn read_link(&mut self, at: usize) -> Result<(), String> {
        loop {
            let link = &mut self.links[at];
            let (process, id) = (link.process, link.id);
            if self.processes[process].life != link.life
                || self.processes[process].link(id) != Some(at)
            {
                link.held.clear();
                return Ok(());
            }
            let stopped_until = self.processes[process].stopped_until;
            if stopped_until > self.now {
                self.agenda.add(stopped_until, Event::ReadsOn(at));
                return Ok(());
            }
            if link.is_paused {
                return Ok(());
            }
            match link.held.pop_front() {
                None => return Ok(()),
                Some(Arrival::Bytes(bytes)) => {
                    self.tell(process, |worker, io, now| {
                        worker.upstream_bytes(io, id, &bytes, now);
                    })?;
                }
                Some(Arrival::End) => {
                    self.tell(process, |worker, io, now| worker.upstream_eof(io, id, now))?;
                    self.links[at].is_open = false;
                    // The transport closes after the end of file and reports that too.
                    self.tell(process, |worker, io, now| worker.upstream_lost(io, id, false, now))?;
                    self.forget_link(process, at);
                }
                Some(Arrival::Broken) => {
                    self.links[at].is_open = false;
                    self.tell(process, |worker, io, now| worker.upstream_lost(io, id, true, now))?;
                    self.forget_link(process, at);
                }
            }
        }
    }

    fn forget_link(&mut self, process: usize, at: usize) {
        let place = self.links[at].id.place();
        if let Some(held) = self.processes[process].links.get_mut(place)
            && *held == Some(at)
        {
            *held = None;
            self.send_up(at, Arrival::Broken);
        }
    }

    // Invariants, checked after every step.

    fn check(&mut self) -> Result<(), String> {
        let sums = self.segment.admission.invariants();
        let counted = sums.queued + sums.running + sums.closing + sums.finished;
        if !sums.ok || sums.arrived != counted {
            return Err(format!("admission: {sums:?}"));
        }
        for (at, backend) in self.backends.iter_mut().enumerate() {
            let limit = self.generation.table.backends[at].concurrency;
            let used = self.segment.admission.backend(at as u16).cap.used.slots;
            // Requests that had a permit when the limit was lowered keep it.
            backend.allowed = limit.max(used.min(backend.allowed));
            let running = backend.running;
            if running > used || used > backend.allowed {
                return Err(format!("backend {at} runs {running}, {used} permits, limit {limit}"));
            }
        }
        for process in &self.processes {
            let Some(worker) = &process.worker else { continue };
            let owner = Owner { worker: process.index, generation: process.life };
            let mut tickets = worker.tickets();
            for permit in self.segment.admission.permits_of(owner) {
                let Some(found) = tickets.iter().position(|ticket| *ticket == permit) else {
                    return Err(format!("worker {}: {permit:?} has no owner", process.index));
                };
                tickets.swap_remove(found);
            }
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), String> {
        for (at, client) in self.clients.iter().enumerate() {
            if !client.asked.is_empty() {
                return Err(format!("client {at} still waits: {:?}", client.asked));
            }
        }
        for process in &self.processes {
            let left = process.worker.as_ref().map_or(0, Worker::active);
            if left > 0 {
                return Err(format!("worker {} still has {left} requests", process.index));
            }
        }
        let sums = self.segment.admission.invariants();
        if sums.queued + sums.running + sums.closing > 0 {
            return Err(format!("permits are left: {sums:?}"));
        }
        Ok(())
    }
}

/// The message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The beginning of a long text.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}
