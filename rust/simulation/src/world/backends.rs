//! Connections to backends, and what backends make of them.

use penstock_core::exchange::Failure;
use penstock_core::time::MILLISECOND;

use super::{Event, REACTION, World};
use crate::backend;
use crate::backend::{Behavior, Piece, What};
use crate::link::Arrival;

impl World {
    pub(super) fn send_up(&mut self, at: usize, arrival: Arrival) {
        let delay = self.random.below(3 * MILLISECOND);
        let link = &mut self.links[at];
        link.up_at = (self.now + delay).max(link.up_at);
        self.agenda.add(link.up_at, Event::AtBackend(at, arrival));
    }

    pub(super) fn send_down(&mut self, at: usize, arrival: Arrival) {
        let delay = self.random.below(3 * MILLISECOND);
        let link = &mut self.links[at];
        link.down_at = (self.now + delay).max(link.down_at);
        self.agenda.add(link.down_at, Event::AtWorker(at, arrival));
    }

    pub(super) fn opens(&mut self, at: usize) -> Result<(), String> {
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

    pub(super) fn at_backend(&mut self, at: usize, arrival: Arrival) -> Result<(), String> {
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

    pub(super) fn emit_next(&mut self, at: usize) {
        if let Some(piece) = self.links[at].script.front() {
            self.agenda.add(self.now + piece.after, Event::Emits(at));
        }
    }

    pub(super) fn emits(&mut self, at: usize) {
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

    pub(super) fn stop_running(&mut self, at: usize) {
        let link = &mut self.links[at];
        self.backends[link.backend].running -= std::mem::take(&mut link.running);
    }

    /// The backend notices that its client has closed the connection, and stops.
    pub(super) fn backend_stops(&mut self, at: usize) {
        self.links[at].script.clear();
        self.stop_running(at);
        self.send_down(at, Arrival::End);
    }

    /// Delivers what has arrived for a worker, in order, until it pauses reading.
    pub(super) fn read_link(&mut self, at: usize) -> Result<(), String> {
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

    pub(super) fn forget_link(&mut self, process: usize, at: usize) {
        let place = self.links[at].id.place();
        if let Some(held) = self.processes[process].links.get_mut(place)
            && *held == Some(at)
        {
            *held = None;
            self.send_up(at, Arrival::Broken);
        }
    }
}
