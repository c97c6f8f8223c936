//! What clients do, and what they get.

use std::collections::VecDeque;

use penstock_core::client::{Answered, ClientConnection, Received, Step};
use penstock_core::endpoint::ENDPOINTS;
use penstock_core::exchange::Client as Meta;
use penstock_core::openai::{ApiError, Code};
use penstock_core::time::{MILLISECOND, SECOND};
use penstock_core::worker::{ClientId, Submitted, Worker};

use super::{Event, HIGH_WATER, World};
use crate::answer;
use crate::socket::{Sent, Socket};

impl World {
    pub(super) fn client_acts(&mut self, at: usize) {
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

    pub(super) fn act_again(&mut self, at: usize) {
        let again = self.soon(50 * MILLISECOND);
        self.agenda.add(again, Event::ClientActs(at));
    }

    /// Opens a connection to a random worker that accepts connections.
    pub(super) fn open_socket(&mut self, client: usize) -> Option<usize> {
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

    pub(super) fn send(&mut self, socket: usize, sent: Sent) {
        let delay = self.random.below(3 * MILLISECOND);
        let at = (self.now + delay).max(self.sockets[socket].up_at);
        self.sockets[socket].up_at = at;
        self.agenda.add(at, Event::FromClient(socket, sent));
    }

    pub(super) fn hear_client(&mut self, at: usize, sent: Sent) -> Result<(), String> {
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
    pub(super) fn read_socket(&mut self, at: usize) -> Result<(), String> {
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
    pub(super) fn advance(&mut self, at: usize, mut data: &[u8]) -> Result<(), String> {
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

    pub(super) fn write_client(&mut self, at: usize, bytes: &[u8]) -> Result<(), String> {
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

    pub(super) fn answer_done(&mut self, at: usize, keep_alive: bool) -> Result<(), String> {
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
    pub(super) fn close_socket(&mut self, at: usize) {
        let socket = &mut self.sockets[at];
        if socket.is_gone || std::mem::replace(&mut socket.is_closed, true) {
            return;
        }
        if socket.unread.is_empty() {
            let reads = self.soon(2 * MILLISECOND);
            self.agenda.add(reads, Event::ClientReads(at));
        }
    }

    pub(super) fn client_reads(&mut self, at: usize) -> Result<(), String> {
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
    pub(super) fn understand(&mut self, number: usize) -> Result<(), String> {
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
}
