//! What holds between two events of a worker.

use penstock_admission::Ticket;

use super::machine::Worker;
use super::state::{Aborting, ConnectionState};

/// The check looks at every request, so with more than these in hand only every 64th event is checked.
const FEW: usize = 32;
const SOME: u32 = 64;

impl Worker {
    /// Panics if the worker's parts disagree. Debug builds call it behind every event.
    ///
    /// * a request's connection serves that request, and a connection's request has it
    /// * a request holds a ticket exactly while it waits or has an attempt, and its row leads back to it
    /// * idle connections are in the pool, and only they
    /// * an aborted permit belongs to no request
    /// * a request that nobody waits for is forgotten
    /// * there is at most one timer for each request
    pub fn invariants(&self) {
        for (id, request) in self.requests.iter() {
            let exchange = &request.exchange;
            assert!(
                request.client.is_some() || request.connection.is_some(),
                "{id:?}: neither a client nor a backend needs it"
            );
            if let Some(connection) = request.connection {
                let state = self.connections.state(connection);
                let serves = [ConnectionState::Connecting(id), ConnectionState::Serving(id)];
                assert!(state.is_some_and(|state| serves.contains(&state)), "{id:?}: {state:?}");
                assert!(!exchange.is_queued(), "{id:?}: waits, and has a connection");
            }
            let Some(ticket) = request.ticket else { panic!("{id:?}: no ticket") };
            assert_eq!(self.rows[ticket.row as usize], Some(id), "{id:?}: its row");
        }
        for (row, id) in self.rows.iter().enumerate() {
            let Some(id) = id else { continue };
            let ticket = self.requests.get(*id).and_then(|request| request.ticket);
            assert_eq!(
                ticket.map(|ticket| ticket.row as usize),
                Some(row),
                "{id:?}: another's row"
            );
        }
        assert!(self.wheel.len() <= self.requests.places(), "timers of requests that are gone");
        let mut idle = 0;
        for (id, connection) in self.connections.iter() {
            match connection.state {
                ConnectionState::Idle => {
                    idle += 1;
                    assert!(self.pool.contains(connection.backend, id), "{id:?}: not in the pool");
                    assert!(!connection.paused, "{id:?}: idle, and not read");
                }
                ConnectionState::Connecting(request) | ConnectionState::Serving(request) => {
                    let its = self.requests.get(request).and_then(|request| request.connection);
                    assert_eq!(its, Some(id), "{request:?}: another connection");
                }
                ConnectionState::Aborting(ticket) => {
                    let is_it = |one: &Aborting| one.connection == id;
                    let found = self.aborting.iter().find(|one| is_it(one));
                    assert_eq!(found.map(|one| one.ticket), Some(ticket), "{id:?}: its permit");
                }
            }
        }
        assert_eq!(idle, self.pool.len(), "idle connections");
        for aborting in &self.aborting {
            assert_eq!(self.rows[aborting.ticket.row as usize], None, "an aborted permit's row");
        }
    }

    /// The places in admission that this worker's requests have, queued, running or closing.
    pub fn tickets(&self) -> Vec<Ticket> {
        let of_requests = self.requests.iter().filter_map(|(_, request)| request.ticket);
        of_requests.chain(self.aborting.iter().map(|aborting| aborting.ticket)).collect()
    }

    /// [`Self::invariants`], in debug builds.
    pub(super) fn check_invariants(&mut self) {
        if cfg!(debug_assertions) {
            self.events = self.events.wrapping_add(1);
            if self.requests.len() <= FEW || self.events.is_multiple_of(SOME) {
                self.invariants();
            }
        }
    }
}
