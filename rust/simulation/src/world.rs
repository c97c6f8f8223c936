//! The simulated world: workers, clients and backends, driven by one event at a time.

mod backends;
mod checks;
mod clients;
mod dangers;
mod workers;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use penstock_core::client::ClientConfig;
use penstock_core::generation::Generation;
use penstock_core::identity::IdentityHeaders;
use penstock_core::segment::{Memory, Segment};
use penstock_core::time::{MILLISECOND, Nanos, SECOND};
use penstock_core::worker::Slab;

use crate::agenda::Agenda;
use crate::backend::Backend;
use crate::client::Client;
use crate::link::{Arrival, Link};
use crate::process::Process;
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
