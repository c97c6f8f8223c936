//! An attempt begins: on which connection, and what is written to it.

use penstock_admission::Grant;

use super::effects::Effects;
use super::machine::Worker;
use super::state::{ConnectionId, ConnectionState, RequestId};
use crate::time::Now;
use crate::trace::{step, transition};

impl Worker {
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
        step!(id, request, request.exchange.granted(backend, nonce, now));
        request.reserved = u64::from(covered);
        request.is_trial = is_trial;
        // A trial is to show whether the backend accepts connections again.
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
            // It has begun to close. Its end will be told of an id that is unknown by then.
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
        transition!("connecting" => request.exchange.phase(), request = id);
        // The client may have stopped reading before there was a connection to pause.
        if request.exchange.is_paused() {
            self.pause(io, connection);
        }
    }
}
