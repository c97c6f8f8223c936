//! What happens by itself as time passes.

use penstock_admission::PermitOutcome;

use super::effects::Effects;
use super::faults;
use super::machine::Worker;
use super::state::RequestId;
use crate::exchange::Output;
use crate::metrics::{Gauge, Histogram, Total};
use crate::time::{MILLISECOND, Nanos, Now, SECOND};
use crate::trace::step;

/// Ticks are so far apart only if the worker has not run.
const STANDSTILL: Nanos = 500 * MILLISECOND;
/// How often permits are compared with requests.
const SWEEP: Nanos = 10 * SECOND;

impl Worker {
    /// Every timer that is due. To be called once a [`super::TICK`] while anything is in hand.
    pub fn tick(&mut self, io: &mut impl Effects, now: Now) {
        // Before the requests' own timers: where the queue's limit equals the total time, the request has
        // timed out in the queue.
        self.admission.tick(now.mono);
        self.collect(io, now);
        // After a standstill (stopped, throttled) the worker has unread input. Skip the time-outs for one tick, or its own
        // pause would look like silent backends.
        let stood_still = now.mono - self.ticked > STANDSTILL;
        self.ticked = now.mono;
        if !stood_still {
            self.run_request_timers(io, now);
        }
        self.note_survivors(now);
        self.end_overdue_aborts(io, now);
        for connection in self.pool.expire(&self.generation.table, now.mono) {
            self.close(io, connection);
        }
        if now.mono - self.swept >= SWEEP {
            self.swept = now.mono;
            let leaked = self.reclaim_unowned(io, now);
            self.shard.add(Total::PermitsLeaked, leaked);
        }
        for (ticket, tokens) in self.growths.drain(..) {
            self.admission.grow(ticket, tokens);
        }
        for (backend, gaps) in self.gaps.iter_mut().enumerate() {
            if gaps.count() > 0 {
                self.admission.note_inter_token(backend as u16, gaps);
                *gaps = Histogram::fine();
            }
        }
        self.shard.set(Gauge::IdleUpstreams, self.pool.len() as u64);
        self.collect(io, now);
        self.check_invariants();
    }

    /// Sets the timer of a request's place to its next deadline, unless it is set to an earlier time. An
    /// earlier request in that place may have set it: when it fires, [`Self::tick`] asks the request that is
    /// there by then.
    pub(super) fn arm(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(id) else { return };
        if let Some(deadline) = request.deadline() {
            self.wheel.set(deadline, id.place());
        }
    }

    fn run_request_timers(&mut self, io: &mut impl Effects, now: Now) {
        // A panic over one request leaves the others in `due`, for the next tick.
        let Worker { wheel, due, .. } = self;
        wheel.expire(now.mono, due);
        while let Some(place) = self.due.pop() {
            let Some(id) = self.requests.in_place(place) else { continue };
            self.current = Some(id);
            faults::check("timer");
            let Some(request) = self.requests.get_mut(id) else { continue };
            let mut out = Output::new(&mut self.output);
            let table = &request.generation.table;
            let next = step!(id, request, request.exchange.time(table, now, &mut out));
            self.follow(io, id, next, out, now);
        }
        self.current = None;
    }

    /// Gives back the permits that no request owns, and returns how many there were: none, unless the worker has
    /// panicked in the middle of an event.
    pub(super) fn reclaim_unowned(&mut self, io: &mut impl Effects, now: Now) -> u64 {
        let mut unowned = 0;
        for ticket in self.admission.permits_of(self.owner) {
            let request = self.rows[ticket.row as usize].and_then(|id| self.requests.get(id));
            let is_owned = request.is_some_and(|request| request.ticket == Some(ticket))
                || self.aborting.iter().any(|aborting| aborting.ticket == ticket);
            if !is_owned {
                unowned += 1;
                self.release(io, ticket, PermitOutcome::Ignored, now);
            }
        }
        unowned
    }
}
