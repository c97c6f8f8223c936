//! Admission against a model, on virtual time.
//!
//! The model knows who is queued, who runs and where, and checks after every step what must hold
//! whatever the choice of backend: no limit is ever exceeded, nothing is lost, first come first
//! served within a tier, no head waits that would fit, nothing is granted after its deadline.

mod support;

use std::collections::HashMap;

use penstock_core::admission::{
    Admission, Candidates, Cap, Decision, Grant, Health, Offer, Outcome, Owner, Refusal, Resources,
    Sizes, Ticket, TierLimits,
};
use proptest::prelude::*;
use support::property;

const TIERS: usize = 2;
const BACKENDS: usize = 3;
const WORKERS: u16 = 2;
/// The node of each backend.
const NODE: [Option<usize>; BACKENDS] = [Some(0), Some(0), None];

#[derive(Debug, Clone)]
enum Op {
    Offer {
        tier: usize,
        worker: u16,
        slots: u32,
        candidates: Vec<u16>,
        wait: u64,
        tokens: u64,
    },
    /// Several in one go, before anyone takes a grant.
    Leave(Vec<Leave>),
    Bounce(usize, u64),
    Reserve(usize, u64),
    SetLimit(usize, u32),
    SetHealth(usize, Health),
    Advance(u64),
    /// To the moment that admission asks for.
    Wake,
}

/// Which request, out of all there ever were.
#[derive(Debug, Clone, Copy)]
enum Leave {
    Cancel(usize),
    Release(usize),
    Closing(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let backends = prop::sample::subsequence(vec![0u16, 1, 2], 0..=BACKENDS);
    let which = any::<usize>;
    let leave = prop_oneof![
        2 => which().prop_map(Leave::Cancel),
        4 => which().prop_map(Leave::Release),
        1 => which().prop_map(Leave::Closing),
    ];
    let health =
        prop::sample::select(vec![Health::Unknown, Health::Healthy, Health::Down, Health::Healthy]);
    let op = prop_oneof![
        10 => (0..TIERS, 0..WORKERS, 1u32..4, backends, 1u64..60, 0u64..30).prop_map(
            |(tier, worker, slots, candidates, wait, tokens)| Op::Offer { tier, worker, slots, candidates, wait, tokens }
        ),
        8 => prop::collection::vec(leave, 1..4).prop_map(Op::Leave),
        2 => (which(), 1u64..20).prop_map(|(at, pause)| Op::Bounce(at, pause)),
        1 => (which(), 0u64..9).prop_map(|(at, tokens)| Op::Reserve(at, tokens)),
        1 => (0..BACKENDS, 0u32..5).prop_map(|(at, limit)| Op::SetLimit(at, limit)),
        1 => (0..BACKENDS, health).prop_map(|(at, health)| Op::SetHealth(at, health)),
        2 => (1u64..15).prop_map(Op::Advance),
        2 => Just(Op::Wake),
    ];
    prop::collection::vec(op, 1..80)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    Running(usize),
    Closing(usize),
    Over,
}

#[derive(Debug, Clone)]
struct Request {
    ticket: Ticket,
    worker: u16,
    tier: usize,
    slots: u32,
    candidates: Vec<usize>,
    deadline: u64,
    tokens: u64,
    bounces: u32,
    state: State,
}

struct Model {
    admission: Admission,
    limits: Vec<TierLimits>,
    nodes: Vec<Option<u32>>,
    backends: Vec<(u32, Health, u64)>,
    rows: usize,
    now: u64,
    /// All there ever were, in order of arrival: so a queue's order is the order here.
    requests: Vec<Request>,
    refused: u64,
}

impl Model {
    fn new(
        caps: (Option<u32>, Option<u32>),
        backends: [u32; BACKENDS],
        node: Option<u32>,
        rows: usize,
        queue: u32,
    ) -> Self {
        let limits: Vec<TierLimits> = [caps.0, caps.1]
            .into_iter()
            .map(|concurrency| TierLimits {
                concurrency,
                queue_requests: queue,
                queue_tokens: 60,
                queue_bytes: 1_000,
            })
            .collect();
        let admission = Admission::new(Sizes {
            rows,
            tiers: limits.clone(),
            backends: backends.iter().zip(NODE).map(|(&slots, node)| (slots, node)).collect(),
            nodes: vec![node],
            workers: usize::from(WORKERS),
        });
        Model {
            admission,
            limits,
            nodes: vec![node],
            backends: backends.iter().map(|&slots| (slots, Health::Unknown, 0)).collect(),
            rows,
            now: 1,
            requests: Vec::new(),
            refused: 0,
        }
    }

    fn holds(request: &Request) -> Option<usize> {
        match request.state {
            State::Running(backend) | State::Closing(backend) => Some(backend),
            State::Queued | State::Over => None,
        }
    }

    fn used(&self, belongs: impl Fn(&Request, usize) -> bool) -> u32 {
        let holding =
            self.requests.iter().filter_map(|request| Some((request, Self::holds(request)?)));
        holding
            .filter(|&(request, backend)| belongs(request, backend))
            .map(|(request, _)| request.slots)
            .sum()
    }

    fn usable(&self, backend: usize) -> bool {
        let (limit, health, _) = self.backends[backend];
        limit > 0 && health != Health::Down
    }

    /// Room of a request's tier, and of one backend with its node.
    fn room(&self, tier: usize, backend: usize) -> (u32, u32) {
        let left = |limit: Option<u32>, used: u32| {
            limit.map_or(u32::MAX, |limit| limit.saturating_sub(used))
        };
        let of_tier =
            left(self.limits[tier].concurrency, self.used(|request, _| request.tier == tier));
        let of_backend = left(Some(self.backends[backend].0), self.used(|_, at| at == backend));
        let of_node = NODE[backend].map_or(u32::MAX, |node| {
            left(self.nodes[node], self.used(|_, at| NODE[at] == Some(node)))
        });
        (of_tier, of_backend.min(of_node))
    }

    fn fits(&self, request: &Request) -> bool {
        request.candidates.iter().any(|&backend| {
            let (of_tier, of_backend) = self.room(request.tier, backend);
            self.usable(backend)
                && self.backends[backend].2 <= self.now
                && request.slots <= of_tier.min(of_backend)
        })
    }

    /// The most slots that a request with these candidates could ever have.
    fn most(&self, tier: usize, candidates: &[usize]) -> u32 {
        let of_backend = |&backend: &usize| {
            let node = NODE[backend].and_then(|node| self.nodes[node]).unwrap_or(u32::MAX);
            self.backends[backend].0.min(node)
        };
        let best = candidates.iter().filter(|&&backend| self.usable(backend)).map(of_backend).max();
        best.unwrap_or(0).min(self.limits[tier].concurrency.unwrap_or(u32::MAX))
    }

    fn queue(&self, tier: usize) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .filter(move |request| request.tier == tier && request.state == State::Queued)
    }

    fn offer(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let Op::Offer { tier, worker, slots, candidates, wait, tokens } = op.clone() else {
            return Ok(());
        };
        let ids: Vec<usize> = candidates.iter().map(|&id| usize::from(id)).collect();
        let request = Request {
            ticket: Ticket { row: 0, generation: 0 },
            worker,
            tier,
            slots,
            candidates: ids,
            deadline: self.now + wait,
            tokens,
            bounces: 0,
            state: State::Over,
        };
        let decision = self.admission.offer(
            &Offer {
                owner: Owner { worker, generation: 1 },
                tier: tier as u16,
                resources: Resources { slots, prefill: tokens, kv: 2 * tokens },
                tokens,
                bytes: 10 * tokens,
                candidates: Candidates::of(candidates),
                deadline: request.deadline,
            },
            self.now,
        );
        let waiting = self.queue(tier).count();
        let fits = waiting == 0 && self.fits(&request);
        let most = self.most(tier, &request.candidates);
        let held = |request: &&Request| {
            matches!(request.state, State::Queued) || Self::holds(request).is_some()
        };
        let rows_left = self.rows - self.requests.iter().filter(held).count();
        let tokens_waiting: u64 = self.queue(tier).map(|request| request.tokens).sum();
        let limits = &self.limits[tier];
        let queue_full = waiting as u32 >= limits.queue_requests
            || tokens_waiting + tokens > limits.queue_tokens;
        let expected_refusal = if most == 0 {
            Some(Refusal::NoBackend)
        } else if slots > most {
            Some(Refusal::NeverFits { most })
        } else if rows_left == 0 || (!fits && queue_full) {
            Some(Refusal::QueueFull)
        } else {
            None
        };
        match (decision, expected_refusal) {
            (Decision::Refused(refusal), Some(expected)) => {
                prop_assert_eq!(refusal, expected);
                self.refused += 1;
            }
            (Decision::Granted(Grant { ticket, backend }), None) => {
                prop_assert!(fits, "granted over the heads of {} or without room", waiting);
                self.run(Request { ticket, ..request }, usize::from(backend))?;
            }
            (Decision::Queued(ticket), None) => {
                prop_assert!(!fits, "queued although it fits");
                self.requests.push(Request { ticket, state: State::Queued, ..request });
            }
            (decision, expected) => prop_assert!(false, "{:?}, not {:?}", decision, expected),
        }
        Ok(())
    }

    /// A grant of this backend is right; the request holds it from now on.
    fn run(&mut self, mut request: Request, backend: usize) -> Result<(), TestCaseError> {
        let (of_tier, of_backend) = self.room(request.tier, backend);
        prop_assert!(request.candidates.contains(&backend), "not a candidate: {:?}", request);
        prop_assert!(self.usable(backend), "down or drained: {}", backend);
        prop_assert!(self.backends[backend].2 <= self.now, "closed by a bounce: {}", backend);
        prop_assert!(
            request.slots <= of_tier && request.slots <= of_backend,
            "over a limit: {:?}",
            request
        );
        prop_assert!(self.now < request.deadline, "after its deadline: {:?}", request);
        request.state = State::Running(backend);
        self.requests.push(request);
        Ok(())
    }

    /// Takes all grants and expulsions, and checks everything.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut expelled = Vec::new();
        let mut granted = HashMap::new();
        for worker in 0..WORKERS {
            let mut grants = Vec::new();
            self.admission.take_grants(worker, &mut grants);
            for Grant { ticket, backend } in grants {
                prop_assert!(
                    granted.insert(ticket, (worker, usize::from(backend))).is_none(),
                    "granted twice"
                );
            }
            let mut out = Vec::new();
            self.admission.take_expelled(worker, &mut out);
            expelled.extend(out.into_iter().map(|(ticket, refusal)| (worker, ticket, refusal)));
        }
        for (worker, ticket, refusal) in expelled {
            let found =
                self.requests.iter().position(|r| r.ticket == ticket && r.state == State::Queued);
            let Some(at) = found else {
                return Err(TestCaseError::fail(format!("expelled, but not queued: {ticket:?}")));
            };
            let request = self.requests[at].clone();
            prop_assert_eq!(worker, request.worker);
            let most = self.most(request.tier, &request.candidates);
            match refusal {
                Refusal::Expired => {
                    prop_assert!(request.deadline <= self.now, "expired early: {:?}", request);
                }
                Refusal::NoBackend => {
                    prop_assert_eq!(most, 0, "a backend was there: {:?}", request);
                }

                Refusal::NeverFits { most: said } => {
                    prop_assert_eq!(said, most);
                    prop_assert!(most > 0 && request.slots > most, "it could fit: {:?}", request);
                }
                other => prop_assert!(false, "expelled for {:?}", other),
            }
            self.requests[at].state = State::Over;
        }
        // First come first served: the granted of a tier are the first of its queue.
        for tier in 0..TIERS {
            let queue: Vec<Ticket> = self.queue(tier).map(|request| request.ticket).collect();
            let count = queue.iter().filter(|ticket| granted.contains_key(ticket)).count();
            for ticket in &queue[..count] {
                prop_assert!(
                    granted.contains_key(ticket),
                    "overtaken in tier {}: {:?}",
                    tier,
                    ticket
                );
            }
        }
        // Bounced requests keep their place, so the model's list must keep its order.
        for (at, request) in self.requests.clone().into_iter().enumerate() {
            if request.state == State::Queued
                && let Some((worker, backend)) = granted.remove(&request.ticket)
            {
                prop_assert_eq!(worker, request.worker, "granted to another worker");
                self.run(request, backend)?;
                let moved = self.requests.pop().expect("the one that runs now");
                self.requests[at] = moved;
            }
        }
        prop_assert!(granted.is_empty(), "granted, but not queued: {:?}", granted);
        self.check()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for tier in 0..TIERS {
            if let Some(head) = self.queue(tier).next() {
                prop_assert!(!self.fits(head), "a head waits that fits: {:?}", head);
                prop_assert!(
                    head.deadline > self.now,
                    "a head waits beyond its deadline: {:?}",
                    head
                );
                let wake = self.admission.next_tick();
                let closed = self
                    .backends
                    .iter()
                    .map(|&(_, _, until)| until)
                    .filter(|&until| until > self.now);
                let due = closed.chain([head.deadline]).min().expect("the deadline");
                prop_assert!(
                    wake.is_some_and(|wake| wake <= due),
                    "woken at {:?}, due {}",
                    wake,
                    due
                );
            }
            for request in self.queue(tier) {
                let most = self.most(tier, &request.candidates);
                prop_assert!(request.slots <= most, "it can never run, and waits: {:?}", request);
            }
            prop_assert_eq!(
                self.admission.queue_depth(tier as u16) as usize,
                self.queue(tier).count()
            );
            let Cap { limit, used } = self.admission.tier_cap(tier as u16);
            prop_assert_eq!(limit, self.limits[tier].concurrency);
            prop_assert_eq!(used.slots, self.used(|request, _| request.tier == tier));
        }
        for backend in 0..BACKENDS {
            let Cap { limit, used } = self.admission.backend_cap(backend as u16);
            prop_assert_eq!(limit, Some(self.backends[backend].0));
            prop_assert_eq!(used.slots, self.used(|_, at| at == backend));
            if used.slots == 0 {
                prop_assert_eq!(used, Resources::default(), "resources left behind");
            }
        }
        let sums = self.admission.invariants();
        let count = |wanted: &dyn Fn(State) -> bool| {
            self.requests.iter().filter(|request| wanted(request.state)).count() as u64
        };
        prop_assert!(sums.ok, "{:?}", sums);
        prop_assert_eq!(sums.queued, count(&|state| state == State::Queued));
        prop_assert_eq!(sums.running, count(&|state| matches!(state, State::Running(_))));
        prop_assert_eq!(sums.closing, count(&|state| matches!(state, State::Closing(_))));
        prop_assert_eq!(sums.finished, count(&|state| state == State::Over) + self.refused);
        prop_assert_eq!(sums.arrived, self.requests.len() as u64 + self.refused);
        Ok(())
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let pick = |at: usize| (!self.requests.is_empty()).then(|| at % self.requests.len());
        match op {
            Op::Offer { .. } => self.offer(op)?,
            Op::Leave(list) => {
                for &leave in list {
                    self.leave(leave)?;
                }
            }
            Op::Bounce(at, pause) => {
                if let Some(at) = pick(*at) {
                    self.bounce(at, *pause)?;
                }
            }
            Op::Reserve(at, tokens) => {
                if let Some(at) = pick(*at) {
                    let ticket = self.requests[at].ticket;
                    // Whatever the state is: slots and conservation stay as they are.
                    self.admission.first_token(ticket);
                    self.admission.first_token(ticket);
                    self.admission.grow(ticket, *tokens);
                    self.admission.settle(ticket, *tokens);
                }
            }
            Op::SetLimit(at, limit) => {
                self.backends[*at].0 = *limit;
                self.admission.set_limits(*at as u16, *limit, self.now);
            }
            Op::SetHealth(at, health) => {
                self.backends[*at].1 = *health;
                self.admission.set_health(*at as u16, *health, self.now);
            }
            Op::Advance(time) => {
                self.now += time;
                self.admission.tick(self.now);
            }
            Op::Wake => {
                if let Some(wake) = self.admission.next_tick() {
                    self.now = self.now.max(wake);
                    self.admission.tick(self.now);
                }
            }
        }
        self.settle()
    }

    fn leave(&mut self, leave: Leave) -> Result<(), TestCaseError> {
        let (Leave::Cancel(at) | Leave::Release(at) | Leave::Closing(at)) = leave;
        if self.requests.is_empty() {
            return Ok(());
        }
        let at = at % self.requests.len();
        let Request { ticket, state, .. } = self.requests[at];
        match leave {
            Leave::Cancel(_) => {
                // Queued, or granted meanwhile without its owner's knowledge: gone either way.
                // One whose time is over may have been put out by the same step.
                let was_waiting = self.admission.cancel(ticket, self.now);
                let expired = state == State::Queued && self.requests[at].deadline <= self.now;
                prop_assert!(was_waiting == (state == State::Queued) || expired, "{:?}", state);
                if was_waiting {
                    self.requests[at].state = State::Over;
                    prop_assert!(!self.admission.cancel(ticket, self.now), "cancelled twice");
                    prop_assert!(!self.admission.release(ticket, Outcome::Ignored, self.now));
                }
            }
            Leave::Release(_) => {
                let held = self.admission.release(ticket, Outcome::Success, self.now);
                // A queued one may hold a grant that its owner has not taken.
                if state != State::Queued {
                    prop_assert_eq!(
                        held,
                        matches!(state, State::Running(_) | State::Closing(_)),
                        "{:?}",
                        state
                    );
                }
                if held {
                    self.requests[at].state = State::Over;
                }
                prop_assert!(
                    !self.admission.release(ticket, Outcome::Success, self.now),
                    "released twice"
                );
            }
            Leave::Closing(_) => {
                self.admission.closing(ticket);
                if let State::Running(backend) = state {
                    self.requests[at].state = State::Closing(backend);
                }
            }
        }
        Ok(())
    }

    fn bounce(&mut self, at: usize, pause: u64) -> Result<(), TestCaseError> {
        let Request { ticket, state, bounces, .. } = self.requests[at];
        let result = self.admission.bounce(ticket, pause, self.now);
        match state {
            State::Running(backend) if bounces < 2 => {
                prop_assert_eq!(result, Ok(()));
                self.backends[backend].2 = self.now + pause;
                let request = &mut self.requests[at];
                request.state = State::Queued;
                request.bounces += 1;
            }
            State::Running(backend) => {
                // It still holds its permit, and is told.
                prop_assert_eq!(result, Err(Refusal::Overloaded));
                self.backends[backend].2 = self.now + pause;
            }
            _ => prop_assert_eq!(result, Err(Refusal::Overloaded), "{:?}", state),
        }
        Ok(())
    }
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let cap = || prop_oneof![Just(None), (0u32..6).prop_map(Some)];
    let sizes = ((cap(), cap()), prop::array::uniform3(0u32..5), cap(), 1usize..20, 0u32..8);
    property(6_000, &(sizes, ops()), |((tiers, backends, node, rows, queue), ops)| {
        let mut model = Model::new(tiers, backends, node, rows, queue);
        for (at, op) in ops.iter().enumerate() {
            model
                .step(op)
                .map_err(|error| TestCaseError::fail(format!("step {at}, {op:?}: {error}")))?;
        }
        // In the end everyone leaves, and nothing is held.
        for at in 0..model.requests.len() {
            model.step(&Op::Leave(vec![Leave::Cancel(at), Leave::Release(at)]))?;
        }
        for at in 0..model.requests.len() {
            model.step(&Op::Leave(vec![Leave::Release(at)]))?;
        }
        let sums = model.admission.invariants();
        prop_assert_eq!((sums.queued, sums.running, sums.closing), (0, 0, 0));
        for backend in 0..BACKENDS {
            prop_assert_eq!(model.admission.backend_cap(backend as u16).used, Resources::default());
        }
        Ok(())
    });
}

fn one_backend(slots: u32) -> Admission {
    Admission::new(Sizes {
        rows: 16,
        tiers: vec![TierLimits {
            concurrency: None,
            queue_requests: 8,
            queue_tokens: 1_000,
            queue_bytes: 1_000,
        }],
        backends: vec![(slots, None), (0, None)],
        nodes: vec![],
        workers: 1,
    })
}

fn offer(slots: u32, deadline: u64) -> Offer {
    Offer {
        owner: Owner::default(),
        tier: 0,
        resources: Resources { slots, prefill: 5, kv: 7 },
        tokens: 1,
        bytes: 1,
        candidates: Candidates::of([0, 1]),
        deadline,
    }
}

fn granted(decision: Decision) -> Ticket {
    match decision {
        Decision::Granted(grant) => grant.ticket,
        other => panic!("{other:?}"),
    }
}

fn queued(decision: Decision) -> Ticket {
    match decision {
        Decision::Queued(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn grants(admission: &mut Admission) -> Vec<Ticket> {
    let mut out = Vec::new();
    admission.take_grants(0, &mut out);
    out.into_iter().map(|grant| grant.ticket).collect()
}

fn expelled(admission: &mut Admission) -> Vec<(Ticket, Refusal)> {
    let mut out = Vec::new();
    admission.take_expelled(0, &mut out);
    out
}

#[test]
fn a_grant_that_is_cancelled_on_its_way_goes_to_the_next() {
    let mut admission = one_backend(1);
    let first = granted(admission.offer(&offer(1, 100), 0));
    let second = queued(admission.offer(&offer(1, 100), 0));
    let third = queued(admission.offer(&offer(1, 100), 0));
    assert!(admission.release(first, Outcome::Success, 1));
    // The second has its grant, but has not heard of it.
    assert!(admission.cancel(second, 2));
    assert_eq!(grants(&mut admission), [third]);
    assert!(!admission.cancel(third, 3), "a running one is released, not cancelled");
    assert_eq!(admission.backend_cap(0).used.slots, 1);
    assert!(admission.invariants().ok);
}

#[test]
fn a_release_of_an_untaken_grant_leaves_no_ghost_in_the_mailbox() {
    let mut admission = one_backend(1);
    let first = granted(admission.offer(&offer(1, 100), 0));
    let second = queued(admission.offer(&offer(1, 100), 0));
    admission.release(first, Outcome::Success, 1);
    assert!(admission.release(second, Outcome::Ignored, 1));
    assert_eq!(grants(&mut admission), []);
    assert!(admission.invariants().ok);
    let third = granted(admission.offer(&offer(1, 100), 2));
    assert_eq!(grants(&mut admission), []);
    assert!(admission.release(third, Outcome::Success, 3));
    assert_eq!(admission.invariants().running, 0);
}

#[test]
fn a_deadline_is_the_end_even_if_room_comes_at_that_moment() {
    let mut admission = one_backend(1);
    let first = granted(admission.offer(&offer(1, 100), 0));
    let second = queued(admission.offer(&offer(1, 50), 0));
    let third = queued(admission.offer(&offer(1, 51), 0));
    assert_eq!(admission.next_tick(), Some(50));
    assert!(admission.release(first, Outcome::Success, 50));
    assert_eq!(expelled(&mut admission), [(second, Refusal::Expired)]);
    assert_eq!(grants(&mut admission), [third]);
    assert_eq!(admission.next_tick(), None);
}

#[test]
fn an_early_deadline_behind_a_late_one_is_told_in_time() {
    let mut admission = one_backend(1);
    let running = granted(admission.offer(&offer(1, 1_000), 0));
    let late = queued(admission.offer(&offer(1, 900), 0));
    let early = queued(admission.offer(&offer(1, 50), 0));
    assert_eq!(admission.next_tick(), Some(50));
    admission.tick(50);
    assert_eq!(expelled(&mut admission), [(early, Refusal::Expired)]);
    assert_eq!(admission.next_tick(), Some(900));
    admission.release(running, Outcome::Success, 60);
    assert_eq!(grants(&mut admission), [late]);
}

#[test]
fn bounced_requests_keep_the_order_of_their_arrival() {
    let mut admission = one_backend(3);
    let tickets: Vec<Ticket> =
        (0..3).map(|_| granted(admission.offer(&offer(1, 1_000), 0))).collect();
    let last = queued(admission.offer(&offer(1, 1_000), 0));
    for ticket in &tickets {
        assert_eq!(admission.bounce(*ticket, 10, 1), Ok(()));
    }
    assert_eq!(grants(&mut admission), []);
    assert_eq!(admission.next_tick(), Some(11));
    admission.tick(10);
    assert_eq!(grants(&mut admission), []);
    admission.tick(11);
    assert_eq!(grants(&mut admission), tickets);
    assert!(admission.release(tickets[1], Outcome::Success, 12));
    assert_eq!(grants(&mut admission), [last]);
}

#[test]
fn a_request_bounces_twice_and_then_its_client_hears_of_it() {
    let mut admission = one_backend(1);
    let ticket = granted(admission.offer(&offer(1, 1_000), 0));
    for round in 0..2 {
        assert_eq!(admission.bounce(ticket, 10, 20 * round), Ok(()));
        assert_eq!(
            admission.bounce(ticket, 10, 20 * round),
            Err(Refusal::Overloaded),
            "while queued"
        );
        admission.tick(20 * round + 10);
        assert_eq!(grants(&mut admission), [ticket]);
    }
    assert_eq!(admission.bounce(ticket, 10, 50), Err(Refusal::Overloaded));
    assert_eq!(admission.backend_cap(0).used.slots, 1, "it still holds its permit");
    assert!(admission.release(ticket, Outcome::Dropped, 51));
    assert_eq!(admission.bounce(ticket, 10, 52), Err(Refusal::Overloaded), "a stale ticket");
    assert!(admission.invariants().ok);
}

#[test]
fn one_that_bounces_off_its_last_backend_is_told_at_once() {
    let mut admission = one_backend(1);
    let ticket = granted(admission.offer(&offer(1, 1_000), 0));
    admission.set_health(0, Health::Down, 1);
    assert_eq!(admission.bounce(ticket, 10, 2), Ok(()));
    assert_eq!(expelled(&mut admission), [(ticket, Refusal::NoBackend)]);
}

#[test]
fn whom_a_lowered_limit_shuts_out_hears_it_now_and_blocks_nobody() {
    let mut admission = one_backend(4);
    let running = granted(admission.offer(&offer(4, 1_000), 0));
    let large = queued(admission.offer(&offer(3, 1_000), 0));
    let small = queued(admission.offer(&offer(1, 1_000), 0));
    admission.set_limits(0, 2, 1);
    assert_eq!(expelled(&mut admission), [(large, Refusal::NeverFits { most: 2 })]);
    assert_eq!(grants(&mut admission), [], "four run where two may");
    assert!(admission.release(running, Outcome::Success, 2));
    assert_eq!(grants(&mut admission), [small]);
    // 0 is drained on purpose: there is no backend at all.
    let waiting = queued(admission.offer(&offer(2, 1_000), 3));
    admission.set_limits(0, 0, 4);
    assert_eq!(expelled(&mut admission), [(waiting, Refusal::NoBackend)]);
    assert_eq!(admission.offer(&offer(1, 1_000), 5), Decision::Refused(Refusal::NoBackend));
    assert_eq!(admission.invariants().running, 1, "nobody is killed");
}

#[test]
fn a_closing_request_counts_until_its_release() {
    let mut admission = one_backend(1);
    let first = granted(admission.offer(&offer(1, 100), 0));
    let second = queued(admission.offer(&offer(1, 100), 0));
    admission.closing(first);
    admission.closing(first);
    assert_eq!(grants(&mut admission), []);
    assert_eq!(admission.invariants().closing, 1);
    assert!(admission.release(first, Outcome::Ignored, 5));
    assert!(!admission.release(first, Outcome::Ignored, 5));
    assert_eq!(grants(&mut admission), [second]);
}

#[test]
fn tokens_are_counted_once_whatever_the_order_of_reports() {
    let mut admission = one_backend(1);
    let first = granted(admission.offer(&offer(1, 100), 0));
    let second = queued(admission.offer(&offer(1, 100), 0));
    // A queued request has nothing reserved yet.
    admission.first_token(second);
    admission.grow(second, 100);
    admission.settle(second, 100);
    assert_eq!(admission.backend_cap(0).used, Resources { slots: 1, prefill: 5, kv: 7 });
    admission.first_token(first);
    admission.first_token(first);
    admission.grow(first, 3);
    assert_eq!(admission.backend_cap(0).used, Resources { slots: 1, prefill: 0, kv: 10 });
    admission.settle(first, 4);
    assert_eq!(admission.tier_cap(0).used, Resources { slots: 1, prefill: 0, kv: 4 });
    admission.release(first, Outcome::Success, 1);
    admission.first_token(first);
    admission.grow(first, 3);
    admission.settle(first, 3);
    assert_eq!(grants(&mut admission), [second]);
    assert_eq!(admission.backend_cap(0).used, Resources { slots: 1, prefill: 5, kv: 7 });
}

#[test]
fn equal_backends_take_turns_and_the_emptier_one_goes_first() {
    let mut admission = Admission::new(Sizes {
        rows: 64,
        tiers: vec![TierLimits {
            concurrency: None,
            queue_requests: 8,
            queue_tokens: 100,
            queue_bytes: 100,
        }],
        backends: vec![(4, None), (4, None), (8, None)],
        nodes: vec![],
        workers: 1,
    });
    let mut counts = [0; 3];
    for _ in 0..16 {
        let offer = Offer { candidates: Candidates::of([0, 1, 2]), ..offer(1, 100) };
        match admission.offer(&offer, 0) {
            Decision::Granted(grant) => counts[usize::from(grant.backend)] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(counts, [4, 4, 8]);
}

#[test]
fn between_tiers_the_longest_waiting_head_goes_first() {
    let limits =
        TierLimits { concurrency: None, queue_requests: 8, queue_tokens: 100, queue_bytes: 100 };
    let mut admission = Admission::new(Sizes {
        rows: 16,
        tiers: vec![limits, limits],
        backends: vec![(1, None), (0, None)],
        nodes: vec![],
        workers: 1,
    });
    let mut running = granted(admission.offer(&offer(1, 100), 0));
    let order: Vec<Ticket> = [1, 0, 0, 1, 0]
        .map(|tier| queued(admission.offer(&Offer { tier, ..offer(1, 100) }, 0)))
        .to_vec();
    for next in order {
        assert!(admission.release(running, Outcome::Success, 1));
        assert_eq!(grants(&mut admission), [next]);
        running = next;
    }
}

#[test]
fn a_hundred_thousand_queued_on_virtual_time() {
    let rows = 100_100;
    let mut admission = Admission::new(Sizes {
        rows,
        tiers: vec![TierLimits {
            concurrency: None,
            queue_requests: u32::MAX,
            queue_tokens: u64::MAX,
            queue_bytes: u64::MAX,
        }],
        backends: vec![(64, None), (0, None)],
        nodes: vec![],
        workers: 1,
    });
    let mut running: Vec<Ticket> =
        (0..64).map(|_| granted(admission.offer(&offer(1, 1 << 40), 0))).collect();
    let waiting: Vec<Ticket> =
        (0..100_000).map(|_| queued(admission.offer(&offer(1, 1 << 40), 0))).collect();
    let mut served = Vec::new();
    for now in 1.. {
        let Some(ticket) = running.pop() else { break };
        assert!(admission.release(ticket, Outcome::Success, now));
        let fresh = grants(&mut admission);
        served.extend_from_slice(&fresh);
        running.splice(0..0, fresh);
        assert!(running.len() <= 64);
    }
    assert_eq!(served, waiting);
    assert!(admission.invariants().ok);
}
