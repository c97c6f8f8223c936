//! Worker processes: passes events to them, and carries out their effects.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use penstock_admission::Owner;
use penstock_admission::kill_points::kill_after;
use penstock_core::time::{MILLISECOND, Now, SECOND};
use penstock_core::worker::{Ids, Slab, TICK, Worker, faults};

use super::{Event, UNIX, World};
use crate::link::{Arrival, Link};
use crate::process::{Collector, Effect};

impl World {
    pub(super) fn begin_life(&mut self, at: usize) {
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
    pub(super) fn tell<R>(
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

    pub(super) fn apply(&mut self, at: usize, effect: Effect) -> Result<(), String> {
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

    pub(super) fn ticks(&mut self, at: usize, life: u16) -> Result<(), String> {
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
    pub(super) fn kill(&mut self, at: usize) {
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
    pub(super) fn lose(&mut self, at: usize) {
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

    pub(super) fn cuts_drain(&mut self, at: usize, life: u16) -> Result<(), String> {
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
}
