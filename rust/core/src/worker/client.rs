//! What a client does while it waits: it stops reading, reads again, or leaves.

use super::effects::Effects;
use super::machine::Worker;
use super::state::RequestId;
use crate::exchange::{AttemptResult, UpstreamEnd};
use crate::time::Now;
use crate::trace::step;

impl Worker {
    /// The client has left, at any moment.
    pub fn client_gone(&mut self, io: &mut impl Effects, id: RequestId, now: Now) {
        self.current = Some(id);
        let Some(request) = self.requests.get_mut(id) else { return };
        let Some(client) = request.client.take() else { return };
        io.drop_client(client);
        step!(id, request, request.exchange.client_gone(now));
        let is_waiting = request.exchange.is_queued();
        self.close_record(id, now);
        if is_waiting {
            self.leave_queue(id, now);
        } else {
            self.attempt_over(io, id, UpstreamEnd::Abort, AttemptResult::Cancelled, now);
        }
        self.forget_if_over(id);
        self.collect(io, now);
        self.check_invariants();
    }

    /// The client's transport is full, or has room again.
    pub fn client_flow(&mut self, io: &mut impl Effects, id: RequestId, full: bool, now: Now) {
        self.current = Some(id);
        let Some(request) = self.requests.get_mut(id) else { return };
        if request.client.is_none() {
            return;
        }
        if full {
            request.exchange.pause();
        } else {
            request.exchange.resume(now);
        }
        match request.connection {
            Some(connection) if full => self.pause(io, connection),
            Some(connection) => {
                self.resume(io, connection);
            }
            None => {}
        }
        self.arm(id);
        self.check_invariants();
    }
}
