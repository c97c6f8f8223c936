//! The limiter: offers in, grants out, every slot accounted for.

mod inspect;

use super::caps::{BackendState, Cap, Health};
use super::queue::Queue;
use super::row::{Candidates, Grant, NONE, Offer, Outcome, Owner, Row, State, Ticket};
use crate::routing::{BackendIndex, TierIndex};
use crate::time::Nanos;

/// How often a request may bounce before its client is told (contract §3).
const MAX_BOUNCES: u8 = 2;

/// Bounds of one tier. `concurrency` `None`: no cap of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLimits {
    pub concurrency: Option<u32>,
    pub queue_requests: u32,
    pub queue_tokens: u64,
    pub queue_bytes: u64,
}

/// Everything that is fixed when the limiter is made.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Most requests known at once, queued and running together.
    pub rows: usize,
    pub tiers: Vec<TierLimits>,
    /// Slots and node of each backend.
    pub backends: Vec<(u32, Option<usize>)>,
    pub nodes: Vec<Option<u32>>,
    pub workers: usize,
}

/// Why a request does not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    QueueFull,
    /// Its deadline came while it waited.
    Expired,
    /// Every backend that it may use is down or drained.
    NoBackend,
    /// It asks for more slots than there will ever be.
    NeverFits {
        most: u32,
    },
    /// Bounced too often.
    Overloaded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Granted(Grant),
    Queued(Ticket),
    Refused(Refusal),
}

/// The conservation sums (research/scheduling.md §2.7, invariant 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invariants {
    pub ok: bool,
    pub arrived: u64,
    pub queued: u64,
    pub running: u64,
    pub closing: u64,
    pub finished: u64,
}

#[derive(Debug)]
struct TierState {
    cap: Cap,
    limits: TierLimits,
    queue: Queue,
}

#[derive(Debug)]
pub struct Admission {
    rows: Box<[Row]>,
    free: u32,
    tiers: Vec<TierState>,
    backends: Vec<BackendState>,
    nodes: Vec<Cap>,
    /// Grants that their owners have not taken yet, by worker.
    mailboxes: Vec<Vec<Grant>>,
    /// Requests that were put out of the queue, with their owner.
    expelled: Vec<(Owner, Ticket, Refusal)>,
    sequence: u64,
    grants: u64,
    arrived: u64,
    finished: u64,
}

impl Admission {
    pub fn new(sizes: Sizes) -> Self {
        let mut rows = vec![Row::EMPTY; sizes.rows].into_boxed_slice();
        for (at, row) in rows.iter_mut().enumerate() {
            row.next = if at + 1 < sizes.rows { at as u32 + 1 } else { NONE };
        }
        let tier = |limits: TierLimits| TierState {
            cap: Cap::new(limits.concurrency),
            limits,
            queue: Queue::EMPTY,
        };
        let backend = |(slots, node): (u32, Option<usize>)| BackendState {
            cap: Cap::new(Some(slots)),
            node,
            health: Health::Unknown,
            closed_until: 0,
            last_grant: 0,
        };
        Admission {
            free: if sizes.rows == 0 { NONE } else { 0 },
            rows,
            tiers: sizes.tiers.into_iter().map(tier).collect(),
            backends: sizes.backends.into_iter().map(backend).collect(),
            nodes: sizes.nodes.into_iter().map(Cap::new).collect(),
            mailboxes: vec![Vec::new(); sizes.workers],
            expelled: Vec::new(),
            sequence: 0,
            grants: 0,
            arrived: 0,
            finished: 0,
        }
    }

    /// Lets a request in, queues it, or refuses it.
    pub fn offer(&mut self, offer: &Offer, now: Nanos) -> Decision {
        self.arrived += 1;
        let decision = self.decide(offer, now);
        if matches!(decision, Decision::Refused(_)) {
            self.finished += 1;
        }
        decision
    }

    fn decide(&mut self, offer: &Offer, now: Nanos) -> Decision {
        let most = self.most_slots(offer.tier, &offer.candidates);
        if most == 0 {
            return Decision::Refused(Refusal::NoBackend);
        }
        if offer.resources.slots > most {
            return Decision::Refused(Refusal::NeverFits { most });
        }
        let TierState { queue, limits, .. } = &self.tiers[usize::from(offer.tier)];
        let waits = queue.head().is_some();
        let queue_full = queue.requests >= limits.queue_requests
            || queue.tokens.saturating_add(offer.tokens) > limits.queue_tokens
            || queue.bytes.saturating_add(offer.bytes) > limits.queue_bytes;
        let Some(at) = self.pop_free() else {
            return Decision::Refused(Refusal::QueueFull);
        };
        self.fill(at, offer);
        let ticket = self.ticket(at);
        if !waits && let Some(backend) = self.place(at, now) {
            self.rows[at as usize].state = State::Running;
            return Decision::Granted(Grant { ticket, backend });
        }
        if queue_full {
            self.free(at);
            return Decision::Refused(Refusal::QueueFull);
        }
        self.tiers[usize::from(offer.tier)].queue.push_back(&mut self.rows, at);
        Decision::Queued(ticket)
    }

    /// The largest request that could ever run: the tier's cap, and the best of its backends.
    fn most_slots(&self, tier: TierIndex, candidates: &Candidates) -> u32 {
        let of_backend = |backend: usize| {
            let state = &self.backends[backend];
            let node = state.node.and_then(|node| self.nodes[node].limit);
            state.cap.limit.unwrap_or(u32::MAX).min(node.unwrap_or(u32::MAX))
        };
        let usable = candidates.iter().filter(|&backend| self.backends[backend].is_usable());
        let backend = usable.map(of_backend).max().unwrap_or(0);
        self.tiers[usize::from(tier)].cap.limit.unwrap_or(u32::MAX).min(backend)
    }

    /// The client has left: out of the queue, or, if a grant was on its way, the permit comes back.
    /// A running request is not cancelled here but released by its owner. Returns whether it was
    /// still waiting.
    pub fn cancel(&mut self, ticket: Ticket, now: Nanos) -> bool {
        let Some(at) = self.find(ticket) else { return false };
        match self.rows[at as usize].state {
            State::Queued => {
                let tier = usize::from(self.rows[at as usize].tier);
                self.tiers[tier].queue.remove(&mut self.rows, at);
                self.finished += 1;
                self.free(at);
                self.dispatch(now);
                true
            }
            State::Granted => {
                self.release(ticket, Outcome::Ignored, now);
                true
            }
            State::Free | State::Running | State::Closing => false,
        }
    }

    /// Moves the grants of one worker to `out`; they run from now on.
    pub fn take_grants(&mut self, worker: u16, out: &mut Vec<Grant>) {
        for grant in self.mailboxes[usize::from(worker)].drain(..) {
            self.rows[grant.ticket.row as usize].state = State::Running;
            out.push(grant);
        }
    }

    /// Moves the tickets of one worker that were put out of the queue to `out`.
    pub fn take_expelled(&mut self, worker: u16, out: &mut Vec<(Ticket, Refusal)>) {
        self.expelled.retain(|&(owner, ticket, refusal)| {
            let own = owner.worker == worker;
            if own {
                out.push((ticket, refusal));
            }
            !own
        });
    }

    /// The first token has come: the prompt is no longer being read.
    pub fn first_token(&mut self, ticket: Ticket) {
        if let Some(at) = self.holder(ticket) {
            let prefill = std::mem::take(&mut self.rows[at as usize].resources.prefill);
            self.each_cap(at, |cap| cap.used.prefill -= prefill);
        }
    }

    /// The output is longer than expected: reserve more KV tokens. Never refused, it only delays
    /// others.
    pub fn grow(&mut self, ticket: Ticket, tokens: u64) {
        if let Some(at) = self.holder(ticket) {
            self.rows[at as usize].resources.kv += tokens;
            self.each_cap(at, |cap| cap.used.kv += tokens);
        }
    }

    /// The backend has reported what was really used: the reservation becomes that.
    pub fn settle(&mut self, ticket: Ticket, tokens: u64) {
        if let Some(at) = self.holder(ticket) {
            let before = std::mem::replace(&mut self.rows[at as usize].resources.kv, tokens);
            self.each_cap(at, |cap| cap.used.kv = cap.used.kv - before + tokens);
        }
    }

    /// The client is served or gone, but the backend may still be at work: the permit stays taken
    /// until [`Self::release`].
    pub fn closing(&mut self, ticket: Ticket) {
        if let Some(at) = self.find(ticket)
            && self.rows[at as usize].state == State::Running
        {
            self.rows[at as usize].state = State::Closing;
        }
    }

    /// The permit comes back. A second release of one ticket does nothing and says so.
    pub fn release(&mut self, ticket: Ticket, _outcome: Outcome, now: Nanos) -> bool {
        let Some(at) = self.holder(ticket) else { return false };
        if self.rows[at as usize].state == State::Granted {
            // Its owner has not taken the grant, and must not find it later.
            let worker = usize::from(self.rows[at as usize].owner.worker);
            self.mailboxes[worker].retain(|grant| grant.ticket != ticket);
        }
        self.give_back(at);
        self.finished += 1;
        self.free(at);
        self.dispatch(now);
        true
    }

    /// The backend had no room after all: the request goes back to the head of its queue, with its
    /// deadline, and the backend gets nothing for `pause`.
    pub fn bounce(&mut self, ticket: Ticket, pause: Nanos, now: Nanos) -> Result<(), Refusal> {
        let Some(at) = self.holder(ticket) else { return Err(Refusal::Overloaded) };
        let row = &mut self.rows[at as usize];
        if row.state != State::Running {
            return Err(Refusal::Overloaded);
        }
        let backend = usize::from(row.backend);
        self.backends[backend].closed_until = now + pause;
        if row.bounces >= MAX_BOUNCES {
            return Err(Refusal::Overloaded);
        }
        row.bounces += 1;
        self.give_back(at);
        let row = &mut self.rows[at as usize];
        row.state = State::Queued;
        let tier = usize::from(row.tier);
        self.tiers[tier].queue.put_back(&mut self.rows, at);
        // Its backends may have gone while it ran.
        self.after_change(now);
        Ok(())
    }

    /// Changes a backend's slots. Lower than what runs: nothing is killed, nothing is granted until
    /// it fits. 0: drained.
    pub fn set_limits(&mut self, backend: BackendIndex, slots: u32, now: Nanos) {
        self.backends[usize::from(backend)].cap.limit = Some(slots);
        self.after_change(now);
    }

    pub fn set_health(&mut self, backend: BackendIndex, health: Health, now: Nanos) {
        self.backends[usize::from(backend)].health = health;
        self.after_change(now);
    }

    /// Time has passed: the expired leave the queue, and what a bounce had closed opens again.
    pub fn tick(&mut self, now: Nanos) {
        for backend in self.backends.iter_mut().filter(|backend| backend.closed_until <= now) {
            backend.closed_until = 0;
        }
        for tier in 0..self.tiers.len() {
            if self.tiers[tier].queue.earliest <= now {
                self.expire(tier, now);
            }
        }
        self.dispatch(now);
    }

    /// Puts the expired out of one queue, and finds the earliest deadline of those that stay.
    fn expire(&mut self, tier: usize, now: Nanos) {
        let mut earliest = Nanos::MAX;
        let mut at = self.tiers[tier].queue.head().unwrap_or(NONE);
        while at != NONE {
            let Row { next, deadline, .. } = self.rows[at as usize];
            if deadline <= now {
                self.expel(at, Refusal::Expired);
            } else {
                earliest = earliest.min(deadline);
            }
            at = next;
        }
        self.tiers[tier].queue.earliest = earliest;
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Nanos> {
        let waiting = self.tiers.iter().filter(|tier| tier.queue.head().is_some());
        let deadline = waiting.map(|tier| tier.queue.earliest).min()?;
        let reopening = self.backends.iter().map(|b| b.closed_until).filter(|&t| t > 0).min();
        Some(deadline.min(reopening.unwrap_or(deadline)))
    }

    /// A backend went or shrank: whoever can no longer be served at all hears it now.
    fn after_change(&mut self, now: Nanos) {
        for tier in 0..self.tiers.len() {
            let mut at = self.tiers[tier].queue.head().unwrap_or(NONE);
            while at != NONE {
                let row = &self.rows[at as usize];
                let (next, slots) = (row.next, row.resources.slots);
                let most = self.most_slots(row.tier, &row.candidates);
                if most == 0 {
                    self.expel(at, Refusal::NoBackend);
                } else if slots > most {
                    // It would block the head of its queue up to its deadline.
                    self.expel(at, Refusal::NeverFits { most });
                }
                at = next;
            }
        }
        self.dispatch(now);
    }

    fn expel(&mut self, at: u32, refusal: Refusal) {
        let Row { tier, owner, .. } = self.rows[at as usize];
        self.expelled.push((owner, self.ticket(at), refusal));
        self.tiers[usize::from(tier)].queue.remove(&mut self.rows, at);
        self.finished += 1;
        self.free(at);
    }

    /// Grants heads of queues, the longest waiting first, until no head fits.
    fn dispatch(&mut self, now: Nanos) {
        // One bit a tier whose head did not fit: it keeps its place, the others go on.
        let mut blocked: u64 = 0;
        loop {
            let oldest = (0..self.tiers.len())
                .filter(|tier| blocked & (1 << tier) == 0)
                .filter_map(|tier| self.tiers[tier].queue.head().map(|at| (tier, at)))
                .min_by_key(|&(_, at)| self.rows[at as usize].sequence);
            let Some((tier, at)) = oldest else { return };
            if self.rows[at as usize].deadline <= now {
                self.expel(at, Refusal::Expired);
                continue;
            }
            let Some(backend) = self.place(at, now) else {
                blocked |= 1 << tier;
                continue;
            };
            self.tiers[tier].queue.remove(&mut self.rows, at);
            let ticket = self.ticket(at);
            let row = &mut self.rows[at as usize];
            row.state = State::Granted;
            self.mailboxes[usize::from(row.owner.worker)].push(Grant { ticket, backend });
        }
    }

    /// Takes room for a row in all its caps at once, or in none.
    fn place(&mut self, at: u32, now: Nanos) -> Option<BackendIndex> {
        let row = &self.rows[at as usize];
        let slots = row.resources.slots;
        if !self.tiers[usize::from(row.tier)].cap.has_room(slots) {
            return None;
        }
        let has_room = |&backend: &usize| {
            let state = &self.backends[backend];
            state.is_usable()
                && state.closed_until <= now
                && state.cap.has_room(slots)
                && state.node.is_none_or(|node| self.nodes[node].has_room(slots))
        };
        // The least full by share; equal ones take turns.
        let fullness = |&backend: &usize| {
            let state = &self.backends[backend];
            let limit = u64::from(state.cap.limit.unwrap_or(u32::MAX).max(1));
            ((u64::from(state.cap.used.slots) << 32) / limit, state.last_grant)
        };
        let backend = row.candidates.iter().filter(has_room).min_by_key(fullness)?;
        self.grants += 1;
        self.backends[backend].last_grant = self.grants;
        self.rows[at as usize].backend = backend as BackendIndex;
        let resources = self.rows[at as usize].resources;
        self.each_cap(at, |cap| cap.take(resources));
        Some(backend as BackendIndex)
    }

    fn give_back(&mut self, at: u32) {
        let resources = self.rows[at as usize].resources;
        self.each_cap(at, |cap| cap.give_back(resources));
    }

    /// Runs over the caps that a placed row counts under: its tier, its backend, its node.
    fn each_cap(&mut self, at: u32, mut change: impl FnMut(&mut Cap)) {
        let Row { tier, backend, .. } = self.rows[at as usize];
        change(&mut self.tiers[usize::from(tier)].cap);
        let backend = &mut self.backends[usize::from(backend)];
        change(&mut backend.cap);
        if let Some(node) = backend.node {
            change(&mut self.nodes[node]);
        }
    }

    fn find(&self, ticket: Ticket) -> Option<u32> {
        let row = self.rows.get(ticket.row as usize)?;
        (row.generation == ticket.generation && row.state != State::Free).then_some(ticket.row)
    }

    /// The row of a ticket that holds a permit.
    fn holder(&self, ticket: Ticket) -> Option<u32> {
        self.find(ticket).filter(|&at| self.rows[at as usize].holds_permit())
    }

    fn ticket(&self, at: u32) -> Ticket {
        Ticket { row: at, generation: self.rows[at as usize].generation }
    }

    fn pop_free(&mut self) -> Option<u32> {
        let at = self.free;
        if at == NONE {
            return None;
        }
        self.free = self.rows[at as usize].next;
        Some(at)
    }

    fn fill(&mut self, at: u32, offer: &Offer) {
        self.sequence += 1;
        self.rows[at as usize] = Row {
            state: State::Queued,
            generation: self.rows[at as usize].generation.wrapping_add(1),
            owner: offer.owner,
            tier: offer.tier,
            resources: offer.resources,
            tokens: offer.tokens,
            bytes: offer.bytes,
            candidates: offer.candidates,
            deadline: offer.deadline,
            sequence: self.sequence,
            ..Row::EMPTY
        };
    }

    fn free(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        row.state = State::Free;
        row.next = self.free;
        self.free = at;
    }
}
