//! Limits that change while requests wait, to 0 or below what runs; permits in `closing`.

use penstock_admission::time::{MILLISECOND, SECOND};
use penstock_admission::{
    Admission, Candidates, Health, Offer, PermitOutcome, Priority, Refusal, Sizes, Tenant, Ticket,
};

use crate::fixture::{
    GRACE, START, WAIT, backend, granted, grants, notifications, offer, one_tier, open, queued,
    refusals, refused, sizes, tickets, tier,
};

fn used(admission: &Admission, backend: u16) -> u32 {
    admission.backend(backend).cap.used.slots
}

#[test]
fn a_limit_of_0_lets_nothing_in_and_says_so_at_once() {
    let admission = one_tier(&[0]);
    assert_eq!(refused(admission.offer(&offer(), START)).why, Refusal::NoBackend);
    assert!(!admission.is_usable(0));
    admission.set_limits(0, 1, START);
    granted(admission.offer(&offer(), START));
    let waits = queued(admission.offer(&offer(), START));
    admission.set_limits(0, 0, START);
    assert_eq!(refusals(&admission), [(waits, Refusal::NoBackend)]);
    assert_eq!(admission.invariants().running, 1, "nobody is killed");
}

/// It is too wide for its candidate, which is down besides, but not for the other backend of its tier.
#[test]
fn a_request_that_needs_other_candidates_is_not_called_too_wide() {
    let admission = one_tier(&[2, 4]);
    let on = |backend, slots| Offer { slots, candidates: Candidates::cold([backend]), ..offer() };
    granted(admission.offer(&on(0, 2), START));
    let running = granted(admission.offer(&on(1, 4), START)).ticket;
    let wide = queued(admission.offer(&on(0, 2), START));
    admission.set_limits(0, 1, START);
    admission.set_health(0, Health::Down, START);
    assert_eq!(refusals(&admission), [], "no slot is free, so that nothing is searched");
    assert!(admission.release(running, PermitOutcome::Success, START));
    assert_eq!(refusals(&admission), [(wide, Refusal::NoBackend)]);
}

#[test]
fn a_limit_lowered_below_what_runs_lets_nothing_in_until_it_fits() {
    let admission = one_tier(&[4]);
    let running: Vec<Ticket> =
        (0..4).map(|_| granted(admission.offer(&offer(), START)).ticket).collect();
    let waiting: Vec<Ticket> = (0..4).map(|_| queued(admission.offer(&offer(), START))).collect();
    admission.set_limits(0, 2, START);
    for ticket in &running[..2] {
        assert!(admission.release(*ticket, PermitOutcome::Success, START));
        assert_eq!(grants(&admission), []);
    }
    assert_eq!(used(&admission, 0), 2);
    admission.release(running[2], PermitOutcome::Success, START);
    assert_eq!(tickets(&grants(&admission)), waiting[..1]);
    admission.set_limits(0, 4, START);
    assert_eq!(tickets(&grants(&admission)), waiting[1..3], "a raised limit is given away at once");
}

#[test]
fn a_request_that_no_longer_fits_is_refused_and_delays_no_other() {
    let admission = one_tier(&[4]);
    let running = granted(admission.offer(&Offer { slots: 4, ..offer() }, START)).ticket;
    let wide = queued(admission.offer(&Offer { slots: 3, ..offer() }, START));
    let narrow = queued(admission.offer(&offer(), START));
    admission.set_limits(0, 2, START);
    admission.release(running, PermitOutcome::Success, START);
    let notifications = notifications(&admission, 0);
    assert_eq!(notifications.len(), 2, "{notifications:?}");
    assert!(format!("{notifications:?}").contains("TooWide { most: 2 }"), "{notifications:?}");
    assert_eq!(admission.permits_of(offer().owner), [narrow]);
    assert!(!admission.cancel(wide, START));
}

#[test]
fn a_queue_moves_to_another_backend_when_its_own_is_drained() {
    let admission = one_tier(&[1, 1]);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let running: Vec<_> = (0..2).map(|_| granted(admission.offer(&both, START))).collect();
    let waits = queued(admission.offer(&both, START));
    admission.set_health(0, Health::Down, START);
    assert_eq!(refusals(&admission), []);
    for grant in running {
        admission.release(grant.ticket, PermitOutcome::Dropped, START);
    }
    let new_grants = grants(&admission);
    assert_eq!((new_grants[0].ticket, new_grants[0].backend), (waits, 1));
}

#[test]
fn when_the_last_backend_is_drained_the_whole_queue_hears_it_at_once() {
    let admission = one_tier(&[1, 1]);
    let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
    let running: Vec<_> = (0..2).map(|_| granted(admission.offer(&both, START))).collect();
    let waiting: Vec<Ticket> = (0..200).map(|_| queued(admission.offer(&both, START))).collect();
    admission.set_limits(0, 0, START);
    assert_eq!(refusals(&admission), []);
    admission.set_limits(1, 0, START);
    let refused_tickets: Vec<_> =
        waiting.iter().map(|&ticket| (ticket, Refusal::NoBackend)).collect();
    assert_eq!(refusals(&admission), refused_tickets);
    assert_eq!(admission.tier(0).queued, 0);
    assert_eq!(refused(admission.offer(&both, START)).why, Refusal::NoBackend);
    assert_eq!(admission.invariants().running, running.len() as u64);
}

#[test]
fn a_permit_counts_through_closing_until_its_release() {
    let admission = one_tier(&[1]);
    let first = granted(admission.offer(&offer(), START)).ticket;
    let second = queued(admission.offer(&offer(), START));
    admission.closing(first);
    admission.closing(first);
    admission.tick(START + 5 * SECOND);
    assert_eq!(grants(&admission), [], "a live worker's permit comes back by its own hand only");
    assert_eq!(admission.invariants().closing, 1);
    assert!(admission.release(first, PermitOutcome::Ignored, START));
    assert!(!admission.release(first, PermitOutcome::Ignored, START));
    assert_eq!(tickets(&grants(&admission)), [second]);
}

#[test]
fn an_endless_stream_keeps_its_slot() {
    let admission = one_tier(&[2]);
    for _ in 0..2 {
        let grant = granted(admission.offer(&offer(), START));
        admission.first_token(grant.ticket, START + SECOND);
    }
    let third = queued(admission.offer(&offer(), START));
    for step in 1..1000 {
        admission.tick(START + step * 5 * MILLISECOND);
    }
    assert_eq!(grants(&admission), []);
    admission.tick(START + WAIT + 3600 * SECOND);
    assert_eq!(refusals(&admission), [(third, Refusal::Expired)]);
    assert_eq!(used(&admission, 0), 2);
}

/// A tenant's own cap, over both tiers. A request that waits for it delays nobody else.
#[test]
fn a_tenant_at_its_limit_delays_no_other() {
    let admission = open(&sizes(vec![tier(&[0]), tier(&[1])], vec![backend(8), backend(8)]));
    let greedy = Tenant { slots: Some(2), ..Tenant::named(7) };
    let ask =
        |tenant, at: u16| Offer { tier: at, tenant, candidates: Candidates::cold([at]), ..offer() };
    let first = granted(admission.offer(&ask(greedy, 0), START)).ticket;
    granted(admission.offer(&ask(greedy, 1), START));
    let waiting: Vec<Ticket> =
        (0..20).map(|_| queued(admission.offer(&ask(greedy, 0), START))).collect();
    for _ in 0..3 {
        // Not granted at once, because others wait in the tier, but in the same step.
        let ticket = queued(admission.offer(&ask(Tenant::named(8), 0), START));
        assert_eq!(tickets(&grants(&admission)), [ticket]);
    }
    admission.release(first, PermitOutcome::Success, START);
    assert_eq!(tickets(&grants(&admission)), waiting[..1]);
    // Its limit was raised.
    let generous = Tenant { slots: Some(4), ..greedy };
    queued(admission.offer(&ask(generous, 0), START));
    assert_eq!(tickets(&grants(&admission)), waiting[1..3]);
}

#[test]
fn urgent_requests_of_a_tenant_do_not_wait_behind_its_wide_ones() {
    let admission = one_tier(&[8]);
    let tenant = Tenant { slots: Some(3), ..Tenant::named(7) };
    let ask = |priority, slots| Offer { tenant, priority, slots, ..offer() };
    granted(admission.offer(&ask(Priority::Normal, 1), START));
    let wide = queued(admission.offer(&ask(Priority::Low, 3), START));
    let urgent = queued(admission.offer(&ask(Priority::High, 1), START));
    assert_eq!(tickets(&grants(&admission)), [urgent]);
    // A request behind the wide one, of the same priority, is granted when that has left.
    let behind = queued(admission.offer(&ask(Priority::Low, 1), START));
    assert_eq!(grants(&admission), []);
    admission.cancel(wide, START);
    assert_eq!(tickets(&grants(&admission)), [behind]);
}

#[test]
fn a_node_and_a_tier_limit_what_their_backends_would_allow() {
    let mut limits = tier(&[0, 1]);
    limits.concurrency = Some(5);
    let mut backends = vec![backend(4), backend(4)];
    for backend in &mut backends {
        backend.node = Some(0);
    }
    let with = |node| {
        let sizes = Sizes { nodes: vec![node], ..sizes(vec![limits.clone()], backends.clone()) };
        let admission = open(&sizes);
        let both = Offer { candidates: Candidates::cold([0, 1]), ..offer() };
        for _ in 0..10 {
            admission.offer(&both, START);
        }
        (admission.node_used(0), admission.invariants().queued)
    };
    assert_eq!(with(None), (5, 5));
    assert_eq!(with(Some(3)), (3, 7));
    assert_eq!(with(Some(0)), (0, 0), "closed: every offer is refused");
}

#[test]
fn a_clock_that_jumps_back_changes_nothing() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    let first = queued(admission.offer(&offer(), START));
    admission.tick(START + SECOND);
    let late = queued(admission.offer(&offer(), 5));
    admission.tick(7);
    assert_eq!(notifications(&admission, 0), []);
    admission.release(running, PermitOutcome::Success, 9);
    assert_eq!(tickets(&grants(&admission)), [first]);
    // The one that came with a wrong time has a full wait from the true one.
    admission.tick(START + SECOND + WAIT - MILLISECOND);
    assert_eq!(notifications(&admission, 0), []);
    admission.tick(START + SECOND + WAIT + 5 * MILLISECOND);
    assert_eq!(refusals(&admission), [(late, Refusal::Expired)]);
}

#[test]
fn a_clock_that_jumps_far_ahead_ends_all_waits_and_no_work() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    let waits = queued(admission.offer(&offer(), START));
    let far = u64::MAX / 2;
    admission.tick(far);
    assert_eq!(refusals(&admission), [(waits, Refusal::Expired)]);
    let next = queued(admission.offer(&offer(), far));
    admission.release(running, PermitOutcome::Success, far);
    assert_eq!(tickets(&grants(&admission)), [next]);
    assert!(admission.invariants().ok);
}

/// The waiting requests of a dead worker are dropped; its permits come back after the abort grace.
#[test]
fn a_dead_worker_gives_back_its_permits_after_the_grace_and_a_live_one_never() {
    let admission = one_tier(&[2]);
    let of =
        |worker| Offer { owner: penstock_admission::Owner { worker, generation: 0 }, ..offer() };
    let dead = granted(admission.offer(&of(0), START)).ticket;
    let live = granted(admission.offer(&of(1), START)).ticket;
    queued(admission.offer(&of(0), START));
    let waits = queued(admission.offer(&of(1), START));
    admission.reclaim(of(0).owner, START);
    let sums = admission.invariants();
    assert_eq!((sums.queued, sums.running, sums.closing), (1, 1, 1));
    admission.tick(START + GRACE - MILLISECOND);
    assert_eq!(notifications(&admission, 1), []);
    admission.tick(START + GRACE + 5 * MILLISECOND);
    assert_eq!(admission.permits_of(of(1).owner), [live, waits]);
    assert!(!admission.release(dead, PermitOutcome::Success, START), "it is nobody's any more");
    admission.tick(START + 3600 * SECOND);
    assert_eq!(admission.permits_of(of(1).owner).len(), 2);
    let _ = notifications(&admission, 1);
    assert_eq!(admission.begin_worker(0), 1);
    assert_eq!(
        notifications(&admission, 0),
        [],
        "a restarted worker has no notification of before"
    );
}
