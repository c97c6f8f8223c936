//! The timer wheel: its memory use, and its firing times compared with a list of deadlines.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use penstock_core::time::{MILLISECOND, Nanos, SECOND, TimerWheel};
use proptest::prelude::*;

use support::property;

thread_local! {
    /// Bytes that this thread holds.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// The system allocator with a counter of allocated bytes.
struct Counting;

#[allow(unsafe_code)]
// SAFETY: each call is the system allocator's own, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + layout.size().cast_signed()));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get() - layout.size().cast_signed()));
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> isize {
    HELD.with(Cell::get)
}

const TICK: Nanos = 10 * MILLISECOND;

/// A model of a worker's requests: the deadline of each slab entry in use.
struct Calls {
    wheel: TimerWheel,
    deadlines: Vec<Option<Nanos>>,
    due: Vec<u32>,
}

impl Calls {
    fn new(slots: usize) -> Self {
        let wheel = TimerWheel::new(TICK, 0);
        Calls { wheel, deadlines: vec![None; slots], due: Vec::with_capacity(slots) }
    }

    fn begin(&mut self, slot: usize, deadline: Nanos) {
        self.deadlines[slot] = Some(deadline);
        self.wheel.set(deadline, slot as u32);
    }

    /// Handles each timer that fires as a worker does: sets it again if the deadline is later. Returns the entries
    /// whose deadline has passed.
    fn tick(&mut self, now: Nanos) -> Vec<usize> {
        let mut over = Vec::new();
        self.wheel.expire(now, &mut self.due);
        while let Some(slot) = self.due.pop() {
            match self.deadlines[slot as usize] {
                Some(deadline) if deadline <= now => {
                    self.deadlines[slot as usize] = None;
                    over.push(slot as usize);
                }
                Some(deadline) => self.wheel.set(deadline, slot),
                None => {}
            }
        }
        over
    }
}

/// 64 connections in a closed loop, 10,000 requests a second for `seconds`; a request has the first
/// deadline and, once its backend is connected, the second. Returns the bytes by which the wheel grew
/// after each slot had been taken once.
fn closed_loop(seconds: u64, deadlines: [Nanos; 2]) -> isize {
    const SLOTS: usize = 64;
    const EACH: Nanos = SECOND / 10_000;
    let mut calls = Calls::new(SLOTS);
    let mut settled = 0;
    for request in 0..seconds * 10_000 {
        let now = request * EACH;
        let slot = (request % SLOTS as u64) as usize;
        for after in deadlines {
            calls.begin(slot, now + after);
        }
        if now.is_multiple_of(TICK) {
            assert_eq!(calls.tick(now), [0; 0], "nobody has come to a deadline");
        }
        if request == SLOTS as u64 {
            settled = held();
        }
    }
    held() - settled
}

#[test]
fn a_closed_loop_does_not_make_it_grow() {
    for total in [2 * SECOND, 120 * SECOND, 1800 * SECOND] {
        assert_eq!(closed_loop(60, [total, total]), 0, "{} s", total / SECOND);
        let first_event = total / 2;
        assert_eq!(closed_loop(60, [SECOND, first_event]), 0, "1 s, then {first_event} ns");
        assert_eq!(closed_loop(60, [total, SECOND]), 0, "{total} ns, then 1 s");
    }
}

#[test]
fn a_burst_costs_what_the_most_calls_at_once_cost() {
    let before = held();
    let mut wheel = TimerWheel::new(TICK, 0);
    let mut due = Vec::with_capacity(10_000);
    for round in 0..20 {
        for key in 0..10_000 {
            wheel.set(round * SECOND + 1800 * SECOND, key);
        }
    }
    let burst = held() - before;
    assert!(burst < 600_000, "{burst} bytes");
    wheel.expire(3600 * SECOND, &mut due);
    assert_eq!(due.len(), 10_000);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A request takes an entry, which may still have a timer of its predecessor.
    Begin(usize, Nanos),
    /// Its deadline moves earlier or later.
    Move(usize, Nanos),
    End(usize),
    /// The event loop runs after this time.
    Wait(Nanos),
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..12usize;
    let time = prop_oneof![
        0..5 * TICK,
        (0..600u64).prop_map(|ticks| ticks * TICK),
        0..20 * SECOND,
        Just(1800 * SECOND),
    ];
    prop_oneof![
        3 => (slot.clone(), time.clone()).prop_map(|(slot, time)| Step::Begin(slot, time)),
        3 => (slot.clone(), time).prop_map(|(slot, time)| Step::Move(slot, time)),
        1 => slot.prop_map(Step::End),
        2 => (1..4 * TICK).prop_map(Step::Wait),
        1 => (1..10 * SECOND).prop_map(Step::Wait),
        1 => (1..4000 * SECOND).prop_map(Step::Wait),
    ]
}

/// Every request expires at its deadline or at most one tick later (plus the event loop's delay), whatever timer its
/// entry had before.
#[test]
fn every_deadline_is_kept() {
    property(400, &prop::collection::vec(step(), 1..120), |steps| {
        let mut calls = Calls::new(12);
        let mut now = 0;
        for step in steps {
            match step {
                Step::Begin(slot, after) => calls.begin(slot, now + after),
                Step::Move(slot, after) if calls.deadlines[slot].is_some() => {
                    calls.begin(slot, now + after);
                }
                Step::Move(..) => {}
                Step::End(slot) => calls.deadlines[slot] = None,
                Step::Wait(time) => {
                    now += time;
                    let before = calls.deadlines.clone();
                    let over = calls.tick(now);
                    for (slot, deadline) in before.iter().enumerate() {
                        let Some(deadline) = *deadline else { continue };
                        let has_ended = over.contains(&slot);
                        prop_assert!(!has_ended || deadline <= now, "{slot} is early");
                        prop_assert!(has_ended || now < deadline + TICK, "{slot} is late");
                    }
                }
            }
        }
        Ok(())
    });
}
