//! Which backend a request gets, and what happens with one that fails, pushes back, or comes back.

use penstock_admission::AdaptiveMode;
use penstock_admission::time::{MILLISECOND, SECOND};
use penstock_admission::{
    Admission, BackendLimits, Candidate, Candidates, Grant, Health, Offer, PermitOutcome, Refusal,
    Ticket, TokenLimit,
};

use crate::fixture::{
    START, backend, granted, grants, offer, one_tier, open, queued, refusals, refused, sizes,
    tickets, tier,
};

fn effective(admission: &Admission) -> u32 {
    admission.backend(0).effective
}

#[test]
fn a_backend_that_comes_back_starts_slowly() {
    let admission = one_tier(&[100]);
    admission.set_health(0, Health::Healthy, START);
    assert_eq!(effective(&admission), 100, "it was never away");
    admission.set_health(0, Health::Down, START);
    assert!(!admission.is_usable(0));
    admission.set_health(0, Health::Healthy, START);
    assert!(admission.backend(0).starts_slowly);
    for (seconds, slots) in [(0, 10), (10, 40), (20, 70), (29, 97), (30, 100)] {
        admission.tick(START + seconds * SECOND);
        assert_eq!(effective(&admission), slots, "after {seconds} s");
    }
    assert!(!admission.backend(0).starts_slowly);
}

#[test]
fn slow_start_lets_in_as_many_as_it_says() {
    let admission = one_tier(&[50]);
    for health in [Health::Healthy, Health::Down, Health::Healthy] {
        admission.set_health(0, health, START);
    }
    for _ in 0..5 {
        granted(admission.offer(&offer(), START));
    }
    let waiting: Vec<Ticket> = (0..10).map(|_| queued(admission.offer(&offer(), START))).collect();
    admission.tick(START + 2 * SECOND);
    assert_eq!(tickets(&grants(&admission)), waiting[..3], "16 % of 50");
}

#[test]
fn the_longest_running_request_is_reported() {
    let admission = one_tier(&[4, 4]);
    assert_eq!(admission.oldest_running(0), None);
    let on = |backend| Offer { candidates: Candidates::cold([backend]), ..offer() };
    let first = granted(admission.offer(&on(0), START)).ticket;
    granted(admission.offer(&on(0), START + SECOND));
    granted(admission.offer(&on(1), START + 2 * SECOND));
    assert_eq!(admission.oldest_running(0), Some(START));
    assert_eq!(admission.oldest_running(1), Some(START + 2 * SECOND));
    admission.closing(first);
    assert_eq!(admission.oldest_running(0), Some(START + SECOND), "what ends there runs no more");
}

#[test]
fn after_pushback_a_request_returns_to_the_head_and_the_backend_shrinks() {
    let admission = one_tier(&[4]);
    let running: Vec<Ticket> =
        (0..4).map(|_| granted(admission.offer(&offer(), START)).ticket).collect();
    let waits = queued(admission.offer(&offer(), START));
    assert_eq!(admission.pushback(running[0], START), Ok(()));
    assert_eq!(effective(&admission), 3);
    assert_eq!(grants(&admission), [], "closed for a moment, and full");
    admission.tick(START + 200 * MILLISECOND);
    assert_eq!(effective(&admission), 4, "a while without pushback gives a slot back");
    assert_eq!(tickets(&grants(&admission)), [running[0]], "before the one that came later");
    admission.release(running[1], PermitOutcome::Success, START + 200 * MILLISECOND);
    assert_eq!(tickets(&grants(&admission)), [waits]);
}

#[test]
fn pushback_closes_a_backend_for_50_to_200_ms() {
    let mut opened = vec![];
    for round in 0..50 {
        let admission = one_tier(&[4]);
        admission.tick(START + round * SECOND);
        // A refusal takes a random number, so each round has others.
        for _ in 0..round {
            refused(admission.offer(&Offer { slots: 9, ..offer() }, START));
        }
        let start = START + round * SECOND;
        let ticket = granted(admission.offer(&offer(), start)).ticket;
        assert_eq!(admission.pushback(ticket, start), Ok(()));
        let mut now = start;
        while grants(&admission).is_empty() {
            now += 5 * MILLISECOND;
            admission.tick(now);
        }
        opened.push(now - start);
    }
    opened.sort_unstable();
    assert!(opened[0] >= 50 * MILLISECOND && opened[49] <= 205 * MILLISECOND, "{opened:?}");
    assert!(opened[40] - opened[10] > 50 * MILLISECOND, "spread: {opened:?}");
}

#[test]
fn a_third_pushback_is_refused() {
    let admission = one_tier(&[4]);
    let ticket = granted(admission.offer(&offer(), START)).ticket;
    for round in 1..=2 {
        let now = START + round * SECOND;
        assert_eq!(admission.pushback(ticket, now), Ok(()));
        assert_eq!(admission.pushback(ticket, now), Err(Refusal::Overloaded), "it waits");
        admission.tick(now + 205 * MILLISECOND);
        assert_eq!(tickets(&grants(&admission)), [ticket]);
    }
    let now = START + 4 * SECOND;
    assert_eq!(admission.pushback(ticket, now), Err(Refusal::Overloaded));
    assert_eq!(admission.backend(0).cap.used.slots, 1, "the permit is still its own");
    assert!(admission.release(ticket, PermitOutcome::Dropped, now));
    assert_eq!(admission.pushback(ticket, now), Err(Refusal::Overloaded));
}

#[test]
fn pushback_by_a_drained_last_backend_is_refused_at_once() {
    let admission = one_tier(&[4]);
    let ticket = granted(admission.offer(&offer(), START)).ticket;
    admission.set_limits(0, 0, START);
    assert_eq!(admission.pushback(ticket, START), Ok(()));
    assert_eq!(refusals(&admission), [(ticket, Refusal::NoBackend)]);
}

#[test]
fn after_pushback_a_request_goes_to_another_backend_if_it_can() {
    let admission = one_tier(&[1, 1]);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let Grant { ticket, backend, .. } = granted(admission.offer(&both, START));
    assert_eq!(admission.pushback(ticket, START), Ok(()));
    let again = grants(&admission);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].ticket, again[0].backend), (ticket, 1 - backend));
}

/// Grants by backend, of streams that never end.
fn spread(admission: &Admission, offer: &Offer, requests: usize) -> Vec<usize> {
    let mut counts = vec![0; 3];
    for _ in 0..requests {
        let grant = granted(admission.offer(offer, START));
        admission.first_token(grant.ticket, START);
        counts[usize::from(grant.backend)] += 1;
    }
    counts
}

#[test]
fn equal_backends_take_turns_and_larger_ones_take_more() {
    let three = Offer { candidates: Candidates::cold([0, 1, 2]), ..offer() };
    let counts = spread(&one_tier(&[40, 40, 40]), &three, 60);
    assert!(counts.iter().all(|count| (18..=22).contains(count)), "{counts:?}");
    let counts = spread(&one_tier(&[40, 40, 80]), &three, 80);
    assert!((36..=44).contains(&counts[2]), "{counts:?}");
}

#[test]
fn a_backend_of_less_weight_gets_less() {
    let limits = vec![backend(100), BackendLimits { weight: 250, ..backend(100) }];
    let admission = open(&sizes(vec![tier(&[0, 1])], limits));
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let counts = spread(&admission, &both, 100);
    assert!((77..=83).contains(&counts[0]), "{counts:?}");
}

#[test]
fn the_backend_with_the_prefix_gets_the_request_unless_it_is_much_fuller() {
    let admission = one_tier(&[10, 10]);
    let hit = |backend, hit| Candidate { backend, hit };
    let known =
        Offer { prompt: 4000, candidates: Candidates::of([hit(0, 0), hit(1, 3900)]), ..offer() };
    let mut order = vec![];
    for _ in 0..16 {
        let grant = granted(admission.offer(&known, START));
        admission.first_token(grant.ticket, START);
        order.push(grant.backend);
    }
    assert_eq!(order[..2], [1, 1], "3,900 of 4,000 tokens need not be read");
    let there = order.iter().filter(|&&backend| backend == 1).count();
    assert!((9..=10).contains(&there), "{order:?}: bounded load, not a hot spot");
    let prefill = admission.backend(1).cap.used.prefill;
    assert_eq!(prefill, 0, "first tokens have come");
}

#[test]
fn only_uncached_tokens_count_as_prefill() {
    let admission = one_tier(&[10]);
    let candidates = Candidates::of([Candidate { backend: 0, hit: 900 }]);
    granted(admission.offer(&Offer { prompt: 1000, candidates, ..offer() }, START));
    assert_eq!(admission.backend(0).cap.used.prefill, 100);
    let all = Candidates::of([Candidate { backend: 0, hit: 5000 }]);
    granted(admission.offer(&Offer { prompt: 1000, candidates: all, ..offer() }, START));
    assert_eq!(admission.backend(0).cap.used.prefill, 101, "the last token is always read");
}

#[test]
fn one_grant_in_a_hundred_explores() {
    let limits = vec![backend(10), BackendLimits { weight: 1, ..backend(10) }];
    let admission = open(&sizes(vec![tier(&[0, 1])], limits));
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let mut elsewhere = 0;
    for _ in 0..20_000 {
        let grant = granted(admission.offer(&both, START));
        elsewhere += u32::from(grant.backend == 1);
        admission.release(grant.ticket, PermitOutcome::Success, START);
    }
    // One in a hundred explores, and half of those are granted the same backend.
    assert!((60..=140).contains(&elsewhere), "{elsewhere}");
}

#[test]
fn the_load_of_a_backend_is_read_without_the_lock() {
    let admission = one_tier(&[4]);
    let new_grants = admission.load(0);
    assert_eq!(new_grants.utilization, Some(0));
    let ticket = granted(admission.offer(&Offer { slots: 3, ..offer() }, START)).ticket;
    assert_eq!(admission.load(0).utilization, Some(3 << 14));
    admission.set_health(0, Health::Down, START);
    assert_eq!(admission.load(0).utilization, None);
    admission.release(ticket, PermitOutcome::Dropped, START);
    admission.set_health(0, Health::Healthy, START);
    let back = admission.load(0);
    assert_eq!(back.utilization, Some(0));
    assert_ne!(back.generation, new_grants.generation, "what it had cached is gone");
}

fn adaptive(mode: AdaptiveMode) -> Admission {
    let limits =
        BackendLimits { adaptive: mode, inter_token: Some(50 * MILLISECOND), ..backend(40) };
    open(&sizes(vec![tier(&[0])], vec![limits]))
}

#[test]
fn overload_shrinks_the_limit_once_a_second_and_not_below_half() {
    let admission = adaptive(AdaptiveMode::Enforce);
    let mut after = (1..).map(|second| {
        admission.note_overload(0);
        admission.note_overload(0);
        admission.tick(START + second * SECOND);
        effective(&admission)
    });
    assert_eq!(after.next(), Some(36), "one window, one step");
    assert_eq!(after.nth(30), Some(20));
    assert_eq!(admission.backend(0).suggested, Some(20));
    assert_eq!(admission.backend(0).cap.limit(), Some(40), "the operator's own is as it was");
}

#[test]
fn observed_is_not_enforced() {
    let admission = adaptive(AdaptiveMode::Observe);
    for second in 0..5 {
        admission.note_overload(0);
        admission.tick(START + second * SECOND);
    }
    assert_eq!(effective(&admission), 40);
    assert!(admission.backend(0).suggested.is_some_and(|slots| slots < 36));
}

#[test]
fn the_kv_memory_that_the_engine_reports_counts_where_the_limit_is_auto() {
    for (limit, learned) in [(TokenLimit::Auto, Some(920)), (TokenLimit::None, None)] {
        let limits = BackendLimits { kv: limit, ..backend(4) };
        let admission = open(&sizes(vec![tier(&[0])], vec![limits]));
        assert_eq!(admission.backend(0).kv_limit, None);
        admission.learn_kv(0, 1000, START);
        assert_eq!(admission.backend(0).kv_limit, learned, "92 % of 1,000 if at all");
    }
}
