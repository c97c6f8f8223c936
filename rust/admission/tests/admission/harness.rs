//! Operations on admission and on the model at once.

use penstock_admission::time::{MILLISECOND, SECOND};
use penstock_admission::{
    Admission, Candidate, Candidates, Decision, Fault, Grant, Health, Notification, Offer, Owner,
    PermitOutcome, Priority, Proof, Refusal, Refused, Ticket, Usage,
};
use proptest::prelude::*;

use crate::fits::Certainty;
use crate::model::{Model, Request, Span, State};

pub type Checked<T = ()> = Result<T, TestCaseError>;

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    pub worker: u16,
    pub tier: usize,
    pub tenant: usize,
    pub priority: Priority,
    pub slots: u32,
    pub prompt: u32,
    pub max_tokens: Option<u32>,
    pub streams: bool,
    pub bytes: u64,
    pub candidates: Vec<Candidate>,
}

/// Admission beside its model.
pub struct Harness {
    pub admission: Admission,
    pub model: Model,
    /// The present generation of each worker.
    pub generations: Vec<u16>,
    /// What was granted in the present step.
    pub granted: Vec<usize>,
    /// Whether the step has granted everything that it could, by its own rules.
    pub dispatched: bool,
    /// Whether it was a tick.
    pub ticked: bool,
    /// Whether it was a single operation.
    pub single: bool,
    /// All requests are alike, so that nothing is ever reserved.
    pub uniform: bool,
    /// The request that was requeued in this step: it was granted before, and may be granted again out of
    /// order and after its deadline.
    pub requeued: Option<usize>,
}

impl Harness {
    fn owner(&self, worker: u16) -> Owner {
        Owner { worker, generation: self.generations[usize::from(worker)] }
    }

    pub fn offer(&mut self, spec: &RequestSpec) -> Checked {
        let tier = &self.model.sizes.tiers[spec.tier];
        let (now, wait) = (self.model.now, tier.wait);
        let offer = Offer {
            owner: self.owner(spec.worker),
            tier: spec.tier as u16,
            tenant: self.model.tenants[spec.tenant],
            priority: spec.priority,
            slots: spec.slots,
            prompt: spec.prompt,
            max_tokens: spec.max_tokens,
            tools: false,
            streams: spec.streams,
            bytes: spec.bytes,
            candidates: Candidates::of(spec.candidates.iter().copied()),
        };
        let request = Request {
            ticket: Ticket { row: u32::MAX, generation: 0 },
            worker: spec.worker,
            tier: spec.tier,
            tenant: spec.tenant,
            priority: spec.priority as usize,
            slots: spec.slots,
            prompt: u64::from(spec.prompt.max(1)),
            max_tokens: u64::from(spec.max_tokens.unwrap_or(u32::MAX)),
            streams: spec.streams,
            bytes: spec.bytes,
            candidates: spec.candidates.clone(),
            arrived: now,
            deadline: now + wait,
            state: State::Queued,
            backend: usize::MAX,
            prefill: Span::default(),
            kv: 0,
            charged: Span::default(),
            settled: false,
            pushbacks: 0,
            bypasses_before: 0,
            is_trial: false,
            granted: 0,
        };
        let is_first = self.model.queue(spec.tier).next().is_none();
        let kept = !self.uniform;
        let must_run = is_first && self.model.fits(&request, Certainty::Certain, kept);
        let may_run = is_first && self.model.fits(&request, Certainty::Possible, kept);
        let never = self.never(&request);
        let full = self.queue_is_full(&request);
        match self.admission.offer(&offer, now) {
            Decision::Refused(refused) => {
                self.model.refused += 1;
                prop_assert!(refused.retry_after >= 800 * MILLISECOND, "{:?}", refused);
                match (refused.why, never) {
                    (why, Some(never)) => prop_assert_eq!(why, never),
                    (Refusal::QueueFull, None) => prop_assert!(full && !must_run, "had room"),
                    (Refusal::Unmeetable, None) => prop_assert!(!must_run && !full, "had room"),
                    (why, None) => prop_assert!(false, "refused: {:?}", why),
                }
            }
            decision => {
                prop_assert_eq!(never, None);
                self.dispatched = true;
                self.model.requests.push(request);
                let at = self.model.requests.len() - 1;
                match decision {
                    Decision::Granted(grant) => {
                        prop_assert!(may_run, "granted before others, or without room");
                        self.model.requests[at].ticket = grant.ticket;
                        self.run(at, grant)?;
                    }
                    Decision::Queued(ticket) => {
                        prop_assert!(!must_run, "queued although it fits");
                        prop_assert!(!full, "queued although the queue is full");
                        self.model.requests[at].ticket = ticket;
                    }
                    Decision::Refused(_) => unreachable!(),
                }
            }
        }
        Ok(())
    }

    /// Why a request can never run, or cannot be known.
    fn never(&self, request: &Request) -> Option<Refusal> {
        let live = self.model.requests.iter().filter(|other| other.state != State::Over);
        if live.count() >= self.model.sizes.rows {
            return Some(Refusal::QueueFull);
        }
        self.model.why_unservable(request, false)
    }

    fn queue_is_full(&self, request: &Request) -> bool {
        let limits = &self.model.sizes.tiers[request.tier];
        let queue: Vec<&Request> = self.model.queue(request.tier).collect();
        let of_tenant = queue.iter().filter(|other| other.tenant == request.tenant);
        let is_known = self.model.tenants[request.tenant].key != 0;
        queue.len() >= limits.queue_requests as usize
            || is_known && of_tenant.count() >= limits.tenant_requests as usize
            || queue.iter().map(|other| other.prompt).sum::<u64>() + request.prompt
                > limits.queue_tokens
            || queue.iter().map(|other| other.bytes).sum::<u64>() + request.bytes
                > limits.queue_bytes
    }

    /// A request has been given its permit.
    pub fn run(&mut self, at: usize, grant: Grant) -> Checked {
        let model = &mut self.model;
        let request = &mut model.requests[at];
        prop_assert_eq!(request.state, State::Queued);
        let backend = usize::from(grant.backend);
        prop_assert!(request.hit(backend).is_some(), "not a candidate: {:?}", grant);
        prop_assert!(u64::from(grant.covered) <= request.max_tokens.max(1), "{:?}", grant);
        (request.state, request.backend, request.settled) = (State::Running, backend, false);
        request.is_trial = grant.is_trial;
        let reads = request.uncached();
        request.prefill = Span { low: if request.streams { reads.low } else { 0 }, ..reads };
        request.kv = request.prompt + u64::from(grant.covered);
        request.charged = reads.plus(Span::exactly(2 * u64::from(grant.covered)));
        request.granted = model.now;
        let (tier, ticket) = (request.tier, request.ticket);
        prop_assert_eq!(grant.ticket, ticket);
        for other in model.requests.iter_mut().filter(|other| other.tier == tier) {
            other.bypasses_before += u32::from(other.is_queued());
        }
        self.granted.push(at);
        Ok(())
    }

    pub fn cancel(&mut self, at: usize) -> Checked {
        let Request { ticket, state, .. } = self.model.requests[at];
        let was_waiting = self.admission.cancel(ticket, self.model.now);
        prop_assert_eq!(was_waiting, state == State::Queued);
        if was_waiting {
            self.model.requests[at].state = State::Over;
            self.dispatched = true;
            prop_assert!(!self.admission.cancel(ticket, self.model.now), "cancelled twice");
            prop_assert!(!self.admission.release(ticket, PermitOutcome::Ignored, self.model.now));
        }
        Ok(())
    }

    pub fn release(&mut self, at: usize, outcome: PermitOutcome) -> Checked {
        let Request { ticket, state, .. } = self.model.requests[at];
        if matches!(state, State::Queued | State::Orphan(_)) {
            // It has no permit to release: its owner is dead, or has never read the grant.
            return Ok(());
        }
        let held = self.admission.release(ticket, outcome, self.model.now);
        prop_assert_eq!(held, self.model.requests[at].holds_permit());
        if held {
            self.model.requests[at].end(outcome);
            if outcome == PermitOutcome::Success {
                self.answered(at);
            }
            self.dispatched = true;
            prop_assert!(!self.admission.release(ticket, outcome, self.model.now), "twice");
        }
        Ok(())
    }

    pub fn closing(&mut self, at: usize) {
        let request = &mut self.model.requests[at];
        self.admission.closing(request.ticket);
        if request.state == State::Running {
            request.state = State::Closing;
        }
    }

    pub fn first_token(&mut self, at: usize) {
        let request = &mut self.model.requests[at];
        self.admission.first_token(request.ticket, self.model.now);
        if request.holds_permit() {
            request.prefill = Span::default();
            self.dispatched |= self.answered(at);
        }
    }

    pub fn grow(&mut self, at: usize, tokens: u64) {
        let request = &mut self.model.requests[at];
        self.admission.grow(request.ticket, tokens);
        if request.holds_permit() {
            request.kv += tokens;
        }
    }

    pub fn settle(&mut self, at: usize, usage: Usage) {
        let request = &mut self.model.requests[at];
        self.admission.settle(request.ticket, usage);
        if request.holds_permit() {
            let before = request.kv;
            request.kv = u64::from(usage.prompt + usage.output);
            self.dispatched |= request.kv < before;
            let read = u64::from(usage.prompt.saturating_sub(usage.cached));
            request.charged = Span::exactly(read + 2 * u64::from(usage.output));
            request.settled = true;
        }
    }

    pub fn pushback(&mut self, at: usize) -> Checked {
        let Request { ticket, state, pushbacks, backend, .. } = self.model.requests[at];
        let result = self.admission.pushback(ticket, self.model.now);
        if state != State::Running {
            prop_assert_eq!(result, Err(Refusal::Overloaded));
            return Ok(());
        }
        self.model.backends[backend].note_pushback(self.model.now);
        if pushbacks == 2 {
            prop_assert_eq!(result, Err(Refusal::Overloaded));
            return Ok(());
        }
        prop_assert_eq!(result, Ok(()));
        let request = &mut self.model.requests[at];
        (request.state, request.charged) = (State::Queued, Span::default());
        request.is_trial = false;
        request.pushbacks += 1;
        self.dispatched = true;
        Ok(())
    }

    pub fn set_limit(&mut self, backend: usize, slots: u32) {
        self.model.backends[backend].limit = slots;
        self.admission.set_limits(backend as u16, slots, self.model.now);
        self.dispatched = true;
    }

    pub fn set_health(&mut self, backend: usize, health: Health) {
        let was_down = self.model.backends[backend].health == Health::Down;
        self.model.backends[backend].set_health(health, self.model.now);
        let proof = if was_down { Proof::Served } else { Proof::Connected };
        let ends = health == Health::Healthy && self.reached(backend, proof);
        let lasted = self.admission.set_health(backend as u16, health, self.model.now);
        assert_eq!(lasted.is_some(), ends);
        self.dispatched = true;
    }

    /// A request failed to reach a backend.
    pub fn fail(&mut self, backend: usize, fault: Fault) -> Checked {
        let is_first = self.model.backends[backend].fail(fault, self.model.now);
        prop_assert_eq!(self.admission.fail(backend as u16, fault, self.model.now), is_first);
        Ok(())
    }

    /// A request reached a backend.
    pub fn note_reached(&mut self, backend: usize, proof: Proof) -> Checked {
        let lasted = self.admission.reached(backend as u16, proof, self.model.now);
        let ends = self.reached(backend, proof);
        prop_assert_eq!(lasted.is_some(), ends);
        self.dispatched |= ends;
        Ok(())
    }

    /// Part of an answer has arrived. Returns whether that ends an outage.
    fn answered(&mut self, at: usize) -> bool {
        let Request { backend, granted, .. } = self.model.requests[at];
        let proof = self.model.backends[backend].answered(granted);
        self.reached(backend, proof)
    }

    fn reached(&mut self, backend: usize, proof: Proof) -> bool {
        let ends = self.model.backends[backend].reached(proof, self.model.now);
        if ends {
            let here = self.model.requests.iter_mut().filter(|other| other.backend == backend);
            here.for_each(|other| other.is_trial = false);
        }
        ends
    }

    /// A running request has not begun, and is requeued.
    pub fn requeue(&mut self, at: usize) -> Checked {
        let Request { ticket, state, .. } = self.model.requests[at];
        let is_back = self.admission.requeue(ticket, self.model.now);
        prop_assert_eq!(is_back, state == State::Running);
        if is_back {
            let request = &mut self.model.requests[at];
            (request.state, request.charged) = (State::Queued, Span::default());
            request.is_trial = false;
            self.requeued = Some(at);
            self.dispatched = true;
        }
        Ok(())
    }

    pub fn learn_kv(&mut self, backend: usize, tokens: u64) {
        let state = &mut self.model.backends[backend];
        if state.learns_kv {
            state.kv = Some((tokens as f64 * 0.92) as u64);
        }
        self.admission.learn_kv(backend as u16, tokens, self.model.now);
        self.dispatched = true;
    }

    /// Time passes; negative: the clock goes back, which must change nothing.
    pub fn pass(&mut self, milliseconds: i64) {
        let shown = self.model.now.saturating_add_signed(milliseconds * MILLISECOND.cast_signed());
        self.model.now = self.model.now.max(shown);
        self.admission.tick(shown);
        let now = self.model.now;
        if now < self.model.ticked + 5 * MILLISECOND {
            return;
        }
        self.model.ticked = now;
        (self.dispatched, self.ticked) = (true, true);
        self.model.backends.iter_mut().for_each(|backend| backend.turn(now));
        for request in &mut self.model.requests {
            // A trial that takes too long gives way to another.
            request.is_trial &= !request.holds_permit() || now < request.granted + 5 * SECOND;
            if matches!(request.state, State::Orphan(until) if until <= now) {
                (request.state, request.is_trial) = (State::Over, false);
            }
        }
    }

    /// A worker dies, and another takes its place.
    pub fn die(&mut self, worker: u16) {
        let dead = self.owner(worker);
        self.admission.reclaim(dead, self.model.now);
        self.generations[usize::from(worker)] = self.admission.begin_worker(worker);
        self.dispatched = true;
        for request in self.model.requests.iter_mut().filter(|request| request.worker == worker) {
            match request.state {
                State::Queued => request.state = State::Over,
                State::Running | State::Closing => {
                    let grace = self.model.backends[request.backend].grace;
                    request.state = State::Orphan(self.model.now + grace);
                }
                State::Orphan(_) | State::Over => {}
            }
        }
    }

    /// Reads the notifications of all workers.
    pub fn collect(&mut self) -> Checked {
        for worker in 0..self.generations.len() as u16 {
            for notification in crate::fixture::notifications(&self.admission, worker) {
                let (Notification::Granted(Grant { ticket, .. })
                | Notification::Refused(ticket, _)) = notification;
                let is_it = |request: &Request| request.ticket == ticket && request.is_queued();
                let Some(at) = self.model.requests.iter().position(is_it) else {
                    return Err(TestCaseError::fail(format!("not waiting: {notification:?}")));
                };
                prop_assert_eq!(
                    worker,
                    self.model.requests[at].worker,
                    "another worker's notification"
                );
                match notification {
                    Notification::Granted(grant) => self.run(at, grant)?,
                    Notification::Refused(_, refused) => self.refuse_queued(at, refused)?,
                }
            }
            prop_assert!(!self.admission.has_notifications(worker), "an empty list says so");
        }
        Ok(())
    }

    fn refuse_queued(&mut self, at: usize, refused: Refused) -> Checked {
        let request = &self.model.requests[at];
        let tier_has_none = !self.model.has_backend_in_service(request.tier);
        let why_unservable = self.model.why_unservable(request, true);
        let is_late = request.deadline <= self.model.now;
        let is_there = |backend: usize| {
            self.model.is_open(backend) && !self.model.backends[backend].has_outage()
        };
        let mut candidates = request.candidates.iter().map(|one| usize::from(one.backend));
        let can_go = candidates.any(is_there);
        prop_assert!((800 * MILLISECOND..=4500 * SECOND).contains(&refused.retry_after));
        match refused.why {
            Refusal::Expired => prop_assert!(is_late, "too early"),
            Refusal::NoBackend if tier_has_none => {}
            Refusal::NoBackend if is_late => prop_assert!(!can_go, "for want of a slot"),
            why => prop_assert_eq!(Some(why), why_unservable),
        }
        self.model.requests[at].state = State::Over;
        Ok(())
    }
}
