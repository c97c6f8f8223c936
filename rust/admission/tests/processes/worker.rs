//! One generation of a worker: it offers, reads notifications and releases at random.

use penstock_admission::time::{Nanos, SECOND};
use penstock_admission::{
    Admission, Candidates, Decision, Grant, Notification, Offer, Owner, PermitOutcome, Priority,
    Tenant, Ticket, Usage,
};

use crate::backends::{LIMITS, Under};
use crate::machine::Machine;
use crate::random::Random;

/// Requests that a worker has at once.
const MOST: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Request {
    ticket: Ticket,
    tier: u16,
    slots: u32,
    is_limited: bool,
}

struct Running {
    request: Request,
    under: Under,
}

pub struct Worker<'a> {
    machine: &'a Machine,
    admission: Admission,
    owner: Owner,
    lane: usize,
    random: Random,
    /// When the next pushback is due. It closes a backend for a while, so it is rare.
    pushbacks: Nanos,
    waiting: Vec<Request>,
    running: Vec<Running>,
}

impl<'a> Worker<'a> {
    pub fn new(machine: &'a Machine, owner: Owner, lane: usize, seed: u64) -> Self {
        let admission = machine.admission.of_worker(owner.worker);
        let mut random = Random::new(seed);
        let pushbacks = machine.now() + random.below(2 * SECOND);
        let (waiting, running) = (Vec::new(), Vec::new());
        Worker { machine, admission, owner, lane, random, pushbacks, waiting, running }
    }

    /// Works until the machine drains and everything is done. Panics if anything is wrong.
    pub fn live(mut self) {
        loop {
            self.read_notifications();
            if !self.machine.is_draining() {
                self.act();
            } else if let Some(running) = self.running.pop() {
                self.release(&running);
            } else if self.waiting.is_empty() {
                return;
            } else {
                self.sleep();
            }
        }
    }

    fn act(&mut self) {
        match self.random.below(16) {
            0..=4 => self.offer(),
            5..=8 => {
                if let Some(running) = self.random.take_any(&mut self.running) {
                    self.release(&running);
                }
            }
            9 => self.cancel(),
            10 if self.machine.now() >= self.pushbacks => self.pushback(),
            11 => self.progress(),
            12 => self.admission.tick(self.machine.now()),
            13 => self.check(),
            _ if self.running.is_empty() && !self.waiting.is_empty() => self.sleep(),
            _ => std::thread::yield_now(),
        }
    }

    fn offer(&mut self) {
        if self.waiting.len() + self.running.len() == MOST {
            return;
        }
        let tier = self.random.below(2) as u16;
        let is_limited = self.random.below(4) == 0;
        let slots = 1 + u32::from(self.random.below(8) == 0);
        let most = is_limited.then_some(LIMITS[4] as u32);
        let offer = Offer {
            owner: self.owner,
            tier,
            tenant: Tenant { slots: most, ..Tenant::named(2 + u64::from(is_limited)) },
            priority: [Priority::High, Priority::Normal, Priority::Low]
                [self.random.below(3) as usize],
            slots,
            prompt: 1 + self.random.below(100) as u32,
            max_tokens: Some(50),
            tools: false,
            streams: true,
            bytes: 100,
            candidates: Candidates::cold(if tier == 0 { 0..2 } else { 1..2 }),
        };
        let request = |ticket| Request { ticket, tier, slots, is_limited };
        match self.admission.offer(&offer, self.machine.now()) {
            Decision::Granted(grant) => self.start(request(grant.ticket), grant),
            Decision::Queued(ticket) => self.waiting.push(request(ticket)),
            Decision::Refused(_) => {}
        }
    }

    fn start(&mut self, request: Request, grant: Grant) {
        let under = Under::new(grant.backend, request.tier, request.is_limited);
        let slots = u64::from(request.slots);
        assert!(self.machine.backends().start(self.lane, under, slots), "a limit is exceeded");
        self.running.push(Running { request, under });
    }

    fn stop(&self, running: &Running) {
        self.machine.backends().stop(self.lane, running.under, u64::from(running.request.slots));
    }

    fn release(&mut self, running: &Running) {
        if self.random.below(4) == 0 {
            self.admission.closing(running.request.ticket);
        }
        self.stop(running);
        let outcome = [PermitOutcome::Success, PermitOutcome::Dropped, PermitOutcome::Ignored]
            [self.random.below(3) as usize];
        let was_held = self.admission.release(running.request.ticket, outcome, self.machine.now());
        assert!(was_held, "a permit of the living is gone");
    }

    /// What was granted meanwhile is not read yet, or was read just before.
    fn cancel(&mut self) {
        if let Some(request) = self.random.take_any(&mut self.waiting) {
            let was_waiting = self.admission.cancel(request.ticket, self.machine.now());
            assert!(was_waiting, "what is not answered waits");
        }
    }

    fn pushback(&mut self) {
        let Some(running) = self.random.take_any(&mut self.running) else { return };
        self.stop(&running);
        let now = self.machine.now();
        self.pushbacks = now + SECOND;
        let ticket = running.request.ticket;
        if self.admission.pushback(ticket, now).is_ok() {
            self.waiting.push(running.request);
        } else {
            assert!(self.admission.release(ticket, PermitOutcome::Ignored, now), "it is held");
        }
    }

    fn progress(&mut self) {
        let Some(running) = self.running.last() else { return };
        let ticket = running.request.ticket;
        match self.random.below(3) {
            0 => self.admission.first_token(ticket, self.machine.now()),
            1 => self.admission.grow(ticket, 10),
            _ => self.admission.settle(ticket, Usage { prompt: 50, cached: 10, output: 20 }),
        }
    }

    /// Every permit that this worker knows of is still there.
    fn check(&self) {
        let permits = self.admission.permits_of(self.owner);
        let is_held = |running: &Running| permits.contains(&running.request.ticket);
        assert!(self.running.iter().all(is_held), "a permit of the living is gone");
    }

    fn read_notifications(&mut self) {
        let mut notifications = Vec::new();
        self.admission.take_grants(self.owner.worker, &mut notifications);
        for notification in notifications {
            let ticket = match notification {
                Notification::Granted(grant) => grant.ticket,
                Notification::Refused(ticket, _) => ticket,
            };
            let at = self.waiting.iter().position(|request| request.ticket == ticket);
            let request =
                self.waiting.swap_remove(at.expect("only a waiting request has a notification"));
            if let Notification::Granted(grant) = notification {
                self.start(request, grant);
            }
        }
    }

    /// Waits for notifications; only its own waker ends that.
    fn sleep(&self) {
        let worker = self.owner.worker;
        self.machine.wakers.drain(usize::from(worker));
        if self.admission.has_notifications(worker) {
            return;
        }
        let fd = self.machine.wakers.fd(usize::from(worker)).expect("it has one");
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, ours.
        unsafe { libc::poll(&raw mut poll, 1, -1) };
    }
}
