//! What happens by itself as time passes.

use penstock_admission::PermitOutcome;

use super::effects::Effects;
use super::faults;
use super::machine::Worker;
use crate::exchange::Output;
use crate::metrics::{Gauge, Histogram, Total};
use crate::time::{Nanos, Now, SECOND};

/// How often permits are compared with requests.
const SWEEP: Nanos = 10 * SECOND;

impl Worker {
    /// Every timer that is due. To be called once a [`super::TICK`] while anything is in hand.
    pub fn tick(&mut self, io: &mut impl Effects, now: Now) {
        // Before the requests' own timers, so that a queue's verdict comes before a total time as long.
        self.admission.tick(now.mono);
        self.collect(io, now);
        self.run_request_timers(io, now);
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
            let next = request.exchange.time(&request.generation.table, now, &mut out);
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
