//! Many requests, tenants, backends and tiers at once.

use penstock_admission::{
    Candidates, Decision, Offer, Owner, PermitOutcome, Sizes, Tenant, Ticket, TierLimits,
};

use crate::fixture::{
    START, WAIT, backend, granted, grants, offer, open, queued, refused, sizes, tickets, tier,
};

#[test]
fn a_hundred_thousand_wait_and_are_served_by_deadline() {
    let sizes = Sizes { rows: 100_100, ..sizes(vec![tier(&[0])], vec![backend(64)]) };
    let admission = open(&sizes);
    let plug = granted(admission.offer(&Offer { slots: 64, ..offer() }, START)).ticket;
    let order: Vec<Ticket> =
        (0..100_000u64).map(|at| queued(admission.offer(&offer(), START + at / 1000))).collect();
    assert!(admission.invariants().ok);
    let mut running = vec![];
    let mut served = vec![];
    admission.release(plug, PermitOutcome::Success, START + 1000);
    while served.len() < order.len() {
        let new_grants = tickets(&grants(&admission));
        assert!(!new_grants.is_empty() && new_grants.len() + running.len() <= 64);
        served.extend_from_slice(&new_grants);
        running.extend(new_grants);
        for ticket in running.drain(..) {
            assert!(admission.release(ticket, PermitOutcome::Success, START + 1000));
        }
    }
    assert!(served == order, "in order of their deadlines");
    assert_eq!(admission.invariants().finished, 100_001);
}

#[test]
fn a_hundred_thousand_expire_at_once() {
    let sizes = Sizes { rows: 100_100, ..sizes(vec![tier(&[0])], vec![backend(1)]) };
    let admission = open(&sizes);
    granted(admission.offer(&offer(), START));
    for at in 0..100_000u64 {
        queued(admission.offer(&Offer { tenant: Tenant::named(at % 500 + 2), ..offer() }, START));
    }
    admission.tick(START + WAIT);
    assert_eq!(crate::fixture::notifications(&admission, 0).len(), 100_000);
    let sums = admission.invariants();
    assert!(sums.ok && sums.queued == 0 && sums.running == 1, "{sums:?}");
}

#[test]
fn without_a_free_row_offers_are_refused_and_rows_are_reused() {
    let sizes = Sizes { rows: 3, ..sizes(vec![tier(&[0])], vec![backend(10)]) };
    let admission = open(&sizes);
    for _ in 0..1000 {
        let running = [(); 3].map(|()| granted(admission.offer(&offer(), START)).ticket);
        let why = refused(admission.offer(&offer(), START)).why;
        assert_eq!(why, penstock_admission::Refusal::QueueFull);
        for ticket in running {
            assert!(admission.release(ticket, PermitOutcome::Success, START));
        }
    }
    assert!(admission.invariants().ok);
}

/// 4,096 tenants are told apart; those with a limit keep their place, and the others share one limit.
#[test]
fn more_tenants_than_can_be_told_apart() {
    let sizes = Sizes { rows: 20_000, ..sizes(vec![tier(&[0])], vec![backend(20_000)]) };
    let admission = open(&sizes);
    let of = |key| Offer { tenant: Tenant { slots: Some(1), ..Tenant::named(key) }, ..offer() };
    let first = granted(admission.offer(&of(2), START)).ticket;
    for key in 3..20_000 {
        let ticket = granted(admission.offer(&of(key), START)).ticket;
        admission.release(ticket, PermitOutcome::Success, START);
    }
    assert!(admission.invariants().ok);
    queued(admission.offer(&of(2), START));
    assert_eq!(grants(&admission), [], "the first one is still here, and still limited");
    admission.release(first, PermitOutcome::Success, START);
    assert_eq!(grants(&admission).len(), 1);
    // Every place is taken by a tenant with a limit: the others share the limit of one.
    let decisions = (30_000..36_000).map(|key| admission.offer(&of(key), START));
    let granted = decisions.filter(|decision| matches!(decision, Decision::Granted(_))).count();
    assert_eq!((granted, admission.invariants().queued), (1, 5_999));
    admission.rebuild();
    assert!(admission.invariants().ok);
}

#[test]
fn tenants_that_share_a_place_in_turn_do_not_share_their_charges() {
    let admission = crate::fixture::one_tier(&[4]);
    for key in 2..5000 {
        let tenant = Tenant::named(key);
        let ticket = granted(admission.offer(&Offer { tenant, ..offer() }, START)).ticket;
        assert_eq!(admission.tenant_cost(&tenant), 300, "100 to read, 2 × 100 to write");
        admission.release(ticket, PermitOutcome::Success, START);
    }
}

#[test]
fn as_many_backends_tiers_and_workers_as_there_can_be() {
    let tiers: Vec<TierLimits> =
        (0..64).map(|at: u16| tier(&[4 * at, 4 * at + 1, 4 * at + 2, 4 * at + 3])).collect();
    let sizes = Sizes { workers: 64, ..sizes(tiers, vec![backend(2); 256]) };
    let admission = open(&sizes);
    let of = |at: u16| Offer {
        owner: Owner { worker: at, generation: 0 },
        tier: at,
        candidates: Candidates::cold(4 * at..4 * at + 4),
        ..offer()
    };
    let mut waiting = vec![];
    for at in 0..64 {
        for _ in 0..8 {
            granted(admission.offer(&of(at), START));
        }
        waiting.push(queued(admission.offer(&of(at), START)));
    }
    for at in 0..64 {
        let ticket = admission.permits_of(of(at).owner)[0];
        admission.release(ticket, PermitOutcome::Success, START);
        let notifications = crate::fixture::notifications(&admission, at);
        assert_eq!(notifications.len(), 1, "{notifications:?}");
        assert!(admission.permits_of(of(at).owner).contains(&waiting[usize::from(at)]));
    }
    assert!(admission.invariants().ok);
}
