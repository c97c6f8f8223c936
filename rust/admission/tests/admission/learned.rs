//! `prefill_tokens: auto` before engines of different speed, on virtual time.

use std::collections::VecDeque;

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, BackendLimits, Decision, Notification, Offer, PermitOutcome, Ticket, TokenLimit,
};

use crate::fixture::{START, backend, notifications, offer, open, sizes, tier};

const CHUNK: u64 = 2048;
const STEP: Nanos = 5 * MILLISECOND;
const FIRST_EVENT: Nanos = 30 * SECOND;

/// A request at the engine: prompts are processed in the order of arrival, then the first token is sent.
struct Reading {
    ticket: Ticket,
    granted: Nanos,
    left: f64,
}

/// Clients that ask again as soon as they have their answer, a gateway, and an engine behind it.
struct World {
    admission: Admission,
    now: Nanos,
    /// Prompt tokens a second.
    speed: f64,
    /// What a first token takes besides the prompts before it.
    latency: Nanos,
    answer: Nanos,
    offer: Offer,
    idle_clients: u32,
    reading: VecDeque<Reading>,
    /// Prompts that are processed, and when their first tokens arrive.
    read: Vec<(Nanos, Ticket)>,
    answering: Vec<(Nanos, Ticket)>,
    served: u32,
    timed_out: u32,
    most_reading: u64,
    /// The longest time from dispatch to first token.
    slowest: Nanos,
}

impl World {
    fn new(speed: f64, clients: u32, prompt: u32) -> Self {
        let limits = BackendLimits { prefill: TokenLimit::Auto, ..backend(128) };
        let mut tier = tier(&[0]);
        tier.wait = 600 * SECOND;
        World {
            admission: open(&sizes(vec![tier], vec![limits])),
            now: START,
            speed,
            latency: 20 * MILLISECOND,
            answer: SECOND,
            offer: Offer { prompt, ..offer() },
            idle_clients: clients,
            reading: VecDeque::new(),
            read: vec![],
            answering: vec![],
            served: 0,
            timed_out: 0,
            most_reading: 0,
            slowest: 0,
        }
    }

    fn limit(&self) -> u64 {
        self.admission.backend(0).prefill_limit.expect("there is one from the beginning")
    }

    fn ask(&mut self) {
        while self.idle_clients > 0 {
            self.idle_clients -= 1;
            match self.admission.offer(&self.offer, self.now) {
                Decision::Granted(grant) => self.begin(grant.ticket),
                Decision::Queued(_) => {}
                Decision::Refused(refused) => panic!("{refused:?}"),
            }
        }
        for notification in notifications(&self.admission, 0) {
            let Notification::Granted(grant) = notification else { panic!("{notification:?}") };
            self.begin(grant.ticket);
        }
    }

    fn begin(&mut self, ticket: Ticket) {
        let left = f64::from(self.offer.prompt);
        self.reading.push_back(Reading { ticket, granted: self.now, left });
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        self.admission.tick(now);
        let mut budget = self.speed * STEP as f64 / SECOND as f64;
        while let Some(first) = self.reading.front_mut() {
            let part = budget.min(first.left);
            (first.left, budget) = (first.left - part, budget - part);
            if first.left > 0.0 {
                break;
            }
            let Some(Reading { ticket, granted, .. }) = self.reading.pop_front() else { break };
            self.read.push((now + self.latency, ticket));
            self.slowest = self.slowest.max(now + self.latency - granted);
        }
        let (read, later) = self.read.iter().partition(|(at, _)| *at <= now);
        self.read = later;
        let read: Vec<(Nanos, Ticket)> = read;
        for (_, ticket) in read {
            if self.offer.streams {
                self.admission.first_token(ticket, now);
            }
            self.answering.push((now + self.answer, ticket));
        }
        let (over, later) = self.answering.iter().partition(|(at, _)| *at <= now);
        self.answering = later;
        let over: Vec<(Nanos, Ticket)> = over;
        for (_, ticket) in over {
            assert!(self.admission.release(ticket, PermitOutcome::Success, now));
            self.served += 1;
            self.idle_clients += 1;
        }
        while let Some(late) = self.reading.iter().position(|one| now >= one.granted + FIRST_EVENT)
        {
            let late = self.reading.remove(late).expect("it is there");
            assert!(self.admission.release(late.ticket, PermitOutcome::Ignored, now));
            self.timed_out += 1;
            self.idle_clients += 1;
        }
        self.ask();
        self.most_reading = self.most_reading.max(self.admission.backend(0).cap.used.prefill);
    }

    fn run(&mut self, time: Nanos) -> &mut Self {
        self.most_reading = 0;
        self.slowest = 0;
        self.ask();
        let until = self.now + time;
        while self.now < until {
            self.step();
        }
        self
    }
}

#[test]
fn a_slow_engine_gets_no_more_prompts_than_it_can_read_in_time() {
    for clients in [8, 12, 32] {
        for prompt in [200, 700, 1430, 2000, 5000] {
            let mut world = World::new(400.0, clients, prompt);
            world.run(300 * SECOND);
            assert_eq!(world.timed_out, 0, "{clients} clients, {prompt} tokens");
            assert!(world.most_reading <= CHUNK.max(u64::from(prompt)), "{}", world.most_reading);
            let least = 280 * 400 / prompt;
            assert!(world.served >= least, "{} of {least}: it always reads", world.served);
        }
    }
}

#[test]
fn the_prefill_limit_of_a_fast_engine_grows_within_seconds() {
    for (prompt, within) in [(50, 4), (300, 2), (1430, 2), (8000, 2)] {
        let mut world = World::new(50_000.0, 128, prompt);
        world.run(within * SECOND);
        assert!(world.limit() >= 25_000, "{prompt} tokens: {}", world.limit());
        // By then the limit no longer delays anything.
        let before = world.served;
        world.run(10 * SECOND);
        let in_service = f64::from(prompt) / 50_000.0;
        let most = (10.0 / in_service).min(10.0 * 128.0 / 1.025);
        let part = f64::from(world.served - before) / most;
        assert!(part > 0.9, "{prompt} tokens: {part} of what it can");
    }
}

#[test]
fn the_prefill_limit_grows_no_faster_than_it_is_proven() {
    let mut world = World::new(50_000.0, 64, 1000);
    let mut last = world.limit();
    assert_eq!(last, CHUNK);
    world.ask();
    for _ in 0..400 {
        world.step();
        let limit = world.limit();
        assert!(limit <= 2 * last || limit as f64 <= 50_000.0 * 1.1, "{last}, then {limit}");
        last = limit;
    }
    assert!(last >= 25_000, "{last}");
}

/// Between the two: as much as it processes in a second.
#[test]
fn an_engine_of_middling_speed_gets_what_it_reads_in_a_second() {
    let mut world = World::new(6000.0, 64, 700);
    world.run(20 * SECOND);
    let limit = world.limit();
    assert!((4800..=7200).contains(&limit), "{limit}");
    world.run(20 * SECOND);
    assert!(world.slowest <= 1500 * MILLISECOND, "{} ns", world.slowest);
}

/// The same prompt again and again comes from the engine's cache, which looks fast. Then come others.
#[test]
fn it_learns_from_prompts_that_are_not_read_in_time() {
    let mut world = World::new(40_000.0, 64, 1430);
    world.run(20 * SECOND);
    assert!(world.limit() >= 20_000, "{}", world.limit());
    world.speed = 400.0;
    world.run(FIRST_EVENT + SECOND);
    assert!(world.timed_out > 0, "that is how it is noticed");
    assert!(world.limit() <= CHUNK, "{}", world.limit());
    // What was sent by then is given up; nothing more is.
    world.run(FIRST_EVENT);
    world.timed_out = 0;
    world.run(120 * SECOND);
    assert_eq!(world.timed_out, 0);
    assert!(world.most_reading <= CHUNK, "{}", world.most_reading);
}

#[test]
fn the_prefill_limit_recovers_after_an_engine_hung() {
    let mut world = World::new(50_000.0, 128, 300);
    world.run(10 * SECOND);
    let served_in_ten_seconds = |world: &mut World| {
        let before = world.served;
        world.run(10 * SECOND);
        world.served - before
    };
    let before = served_in_ten_seconds(&mut world);
    world.speed = 0.0;
    world.run(FIRST_EVENT + SECOND);
    assert_eq!(world.limit(), CHUNK);
    world.speed = 50_000.0;
    world.run(2 * SECOND);
    assert!(world.limit() >= 6 * CHUNK, "{}", world.limit());
    let after = served_in_ten_seconds(&mut world);
    assert!(after * 100 >= before * 97, "{after} in ten seconds, {before} before");
}

/// One prompt that is stuck among many others says nothing about the engine, nor does a client that leaves
/// soon.
#[test]
fn one_unavailable_answer_is_no_outage() {
    let mut world = World::new(50_000.0, 64, 500);
    world.run(20 * SECOND);
    let open = world.limit();
    assert!(open >= 25_000, "{open}");
    for patience in [10 * MILLISECOND, SECOND, FIRST_EVENT] {
        let stuck = match world.admission.offer(&world.offer, world.now) {
            Decision::Granted(grant) => grant.ticket,
            other => panic!("{other:?}"),
        };
        world.run(patience);
        assert!(world.admission.release(stuck, PermitOutcome::Dropped, world.now));
        world.run(50 * MILLISECOND);
        assert!(world.limit() >= open / 2, "{} after {patience} ns", world.limit());
    }
}

#[test]
fn answers_without_a_stream_raise_the_prefill_limit_as_well() {
    let mut world = World::new(50_000.0, 128, 1430);
    world.offer.streams = false;
    world.run(5 * SECOND);
    assert!(world.limit() >= 8000, "{}", world.limit());
}
