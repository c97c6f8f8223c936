//! A backend that is reserved for a request that did not fit: which one, for whom, and until when.

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, BackendLimits, Candidate, Candidates, Grant, Health, Offer, PermitOutcome, Priority,
    Refusal, Ticket, TokenLimit,
};

use crate::fixture::{
    START, WAIT, backend, granted, grants, offer, one_tier, open, queued, refusals, refused, sizes,
    tickets, tier,
};

/// Ends the oldest running request again and again, with another small one always waiting. Returns after
/// how many grants to others `wanted` was granted.
fn bypasses_before(
    admission: &Admission,
    mut running: Vec<Ticket>,
    small: &Offer,
    wanted: Ticket,
) -> usize {
    let mut passed = 0;
    for step in 1.. {
        let now = START + step * 20 * MILLISECOND;
        assert!(now < START + WAIT, "never let in");
        admission.tick(now);
        admission.offer(small, now);
        if running.is_empty() {
            break;
        }
        admission.release(running.remove(0), PermitOutcome::Success, now);
        for ticket in tickets(&grants(admission)) {
            if ticket == wanted {
                return passed;
            }
            passed += 1;
            running.push(ticket);
        }
    }
    panic!("nothing runs any longer");
}

/// Its node is too small for the request: reserved, that backend would be empty for nothing, and the other
/// never free.
#[test]
fn a_backend_on_a_node_that_is_too_small_is_not_reserved() {
    let on_node = BackendLimits { node: Some(0), ..backend(4) };
    let mut limits = sizes(vec![tier(&[0, 1])], vec![on_node, backend(4)]);
    limits.nodes = vec![Some(2)];
    let admission = open(&limits);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let running = (0..6).map(|_| granted(admission.offer(&both, START)).ticket).collect();
    let wide = queued(admission.offer(&Offer { slots: 4, ..both }, START));
    let passed = bypasses_before(&admission, running, &both, wide);
    // Four more go to the other backend at most while this one empties, and two on the node.
    assert!(passed <= 8 + 6, "{passed}");
}

#[test]
fn a_wide_request_of_low_priority_is_not_bypassed_for_ever() {
    let admission = one_tier(&[4]);
    let low = Offer { priority: Priority::Low, ..offer() };
    let running = (0..4).map(|_| granted(admission.offer(&low, START)).ticket).collect();
    let wide = queued(admission.offer(&Offer { slots: 4, ..low }, START));
    let passed = bypasses_before(&admission, running, &low, wide);
    assert_eq!(passed, 8);
}

/// What is reserved for low priority is given to more urgent requests of any tier.
#[test]
fn low_priority_gives_up_its_reservation_when_others_come() {
    for urgent in [Offer { priority: Priority::High, ..offer() }, Offer { tier: 1, ..offer() }] {
        let admission = open(&sizes(vec![tier(&[0]), tier(&[0])], vec![backend(4)]));
        let low = Offer { priority: Priority::Low, ..offer() };
        let running: Vec<Ticket> =
            (0..4).map(|_| granted(admission.offer(&low, START)).ticket).collect();
        let wide = queued(admission.offer(&Offer { slots: 4, ..low }, START));
        let now = START + SECOND;
        assert!(admission.release(running[0], PermitOutcome::Success, START));
        admission.tick(now);
        let small = queued(admission.offer(&low, now));
        assert_eq!(grants(&admission), [], "reserved for the wide one");
        let urgent = queued(admission.offer(&urgent, now));
        assert_eq!(tickets(&grants(&admission)), [urgent]);
        for ticket in [running[1], running[2], running[3], urgent] {
            assert!(admission.release(ticket, PermitOutcome::Success, now));
        }
        assert_eq!(tickets(&grants(&admission)), [wide]);
        assert!(admission.cancel(small, now));
    }
}

/// Nor does it keep a freed slot from the more urgent request of a tier that is searched later.
#[test]
fn low_priority_reserves_nothing_while_others_wait() {
    let admission = open(&sizes(vec![tier(&[0]), tier(&[0])], vec![backend(4)]));
    let other = Offer { tier: 1, ..offer() };
    let running = granted(admission.offer(&Offer { slots: 3, ..other }, START)).ticket;
    let low = Offer { priority: Priority::Low, slots: 4, ..offer() };
    let low = queued(admission.offer(&low, START));
    granted(admission.offer(&other, START));
    let wide = Offer { slots: 3, ..other };
    let urgent = queued(admission.offer(&wide, START));
    assert!(admission.release(running, PermitOutcome::Success, START + SECOND));
    assert_eq!(tickets(&grants(&admission)), [urgent]);
    assert!(admission.cancel(low, START + SECOND));
}

/// The backend that will have room first is reserved: the one with the fewest prompt tokens in flight.
#[test]
fn the_emptiest_backend_is_reserved() {
    let reads = BackendLimits { prefill: TokenLimit::Tokens(1000), ..backend(8) };
    let admission = open(&sizes(vec![tier(&[0, 1])], vec![reads, reads]));
    let at = |backend, prompt| Offer { prompt, candidates: Candidates::cold([backend]), ..offer() };
    granted(admission.offer(&at(0, 800), START));
    granted(admission.offer(&at(1, 300), START));
    let both = Candidates::cold([0, 1]);
    queued(admission.offer(&Offer { prompt: 900, candidates: both, ..offer() }, START));
    admission.tick(START + SECOND);
    queued(admission.offer(&Offer { candidates: both, ..offer() }, START + SECOND));
    assert_eq!(grants(&admission).iter().map(|grant| grant.backend).collect::<Vec<_>>(), [0]);
}

/// A backend that has shrunk cannot take what it was reserved for.
#[test]
fn a_backend_that_shrinks_loses_its_reservation() {
    let admission = one_tier(&[4, 4]);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let running: Vec<Grant> = (0..8).map(|_| granted(admission.offer(&both, START))).collect();
    let wide = queued(admission.offer(&Offer { slots: 4, ..both }, START));
    let end = |backend: u16, count: usize, now: Nanos| {
        for grant in running.iter().filter(|grant| grant.backend == backend).take(count) {
            admission.release(grant.ticket, PermitOutcome::Success, now);
        }
    };
    end(0, 1, START);
    let now = START + SECOND;
    admission.tick(now);
    let small = queued(admission.offer(&both, now));
    assert_eq!(grants(&admission), [], "reserved");
    admission.set_limits(0, 3, now);
    end(0, 2, now);
    let new_grants = grants(&admission);
    assert_eq!((tickets(&new_grants), new_grants[0].backend), (vec![small], 0));
    end(1, 4, now);
    assert_eq!(tickets(&grants(&admission)), [wide], "now the other one is");
}

/// While its tier's other backend is full, no request of that tier is searched; the node must not wait for
/// that.
#[test]
fn a_drained_backend_frees_what_was_reserved_on_its_node() {
    let on_node = BackendLimits { node: Some(0), ..backend(8) };
    let mut limits = sizes(vec![tier(&[0, 1]), tier(&[2])], vec![on_node, backend(1), on_node]);
    limits.nodes = vec![Some(8)];
    let admission = open(&limits);
    let at = |backend| Offer { candidates: Candidates::cold([backend]), ..offer() };
    let running = granted(admission.offer(&at(0), START)).ticket;
    granted(admission.offer(&at(1), START));
    let candidates = Candidates::cold([0, 1]);
    queued(admission.offer(&Offer { slots: 8, candidates, ..offer() }, START));
    let now = START + SECOND;
    admission.tick(START + 10 * MILLISECOND);
    admission.tick(now);
    admission.set_health(0, Health::Down, now);
    assert_eq!(refusals(&admission), [], "it may come back");
    assert!(admission.release(running, PermitOutcome::Success, now));
    for _ in 0..8 {
        granted(admission.offer(&Offer { tier: 1, ..at(2) }, now));
    }
}

fn two_memories() -> Admission {
    let memory = |tokens| BackendLimits { kv: TokenLimit::Tokens(tokens), ..backend(4) };
    open(&sizes(vec![tier(&[0, 1])], vec![memory(1000), memory(10_000)]))
}

/// Empty or not: a prompt that a backend can never hold does not go there, even if it has the prefix.
#[test]
fn a_prompt_goes_to_a_backend_that_can_hold_it() {
    let admission = two_memories();
    let candidates = [(0, 4096), (1, 0)].map(|(backend, hit)| Candidate { backend, hit });
    let long = Offer { prompt: 5000, candidates: Candidates::of(candidates), ..offer() };
    assert_eq!(granted(admission.offer(&long, START)).backend, 1);
    let next = queued(admission.offer(&long, START));
    admission.tick(START + SECOND);
    assert_eq!(grants(&admission), [], "only the small one is free");
    assert!(admission.cancel(next, START + SECOND));
}

#[test]
fn a_backend_that_can_never_hold_a_prompt_is_not_reserved_for_it() {
    let admission = two_memories();
    let cold = Candidates::cold([0, 1]);
    granted(admission.offer(&Offer { prompt: 5000, candidates: cold, ..offer() }, START));
    queued(admission.offer(&Offer { prompt: 6000, candidates: cold, ..offer() }, START));
    let now = START + SECOND;
    admission.tick(now);
    let small = Offer { candidates: Candidates::cold([0]), ..offer() };
    admission.offer(&small, now);
    assert_eq!(grants(&admission).len(), 1);
}

/// Wide enough, and with enough memory: two backends are no help if neither is both.
#[test]
fn what_fits_no_backend_is_refused() {
    let roomy = BackendLimits { kv: TokenLimit::Tokens(10_000), ..backend(1) };
    let wide = BackendLimits { kv: TokenLimit::Tokens(1000), ..backend(4) };
    let admission = open(&sizes(vec![tier(&[0, 1])], vec![roomy, wide]));
    let candidates = Candidates::cold([0, 1]);
    let large = Offer { slots: 2, prompt: 5000, candidates, ..offer() };
    assert_eq!(refused(admission.offer(&large, START)).why, Refusal::TooWide { most: 1 });
}
