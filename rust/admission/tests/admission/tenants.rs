//! More named tenants than the table has places for.

use penstock_admission::{
    Admission, Candidates, Offer, PermitOutcome, Refusal, Sizes, Tenant, TierLimits,
};

use crate::fixture::{
    START, backend, granted, grants, offer, one_tier, open, queued, refused, sizes, tickets, tier,
};

/// Places for named tenants.
const PLACES: u64 = 4096;

/// A request of a tenant is served.
fn serve(admission: &Admission, key: u64) {
    let grant = granted(admission.offer(&Offer { tenant: Tenant::named(key), ..offer() }, START));
    assert!(admission.release(grant.ticket, PermitOutcome::Success, START));
}

fn is_known(admission: &Admission, key: u64) -> bool {
    admission.tenant_cost(&Tenant::named(key)) > 0
}

#[test]
fn a_regular_tenant_is_kept_and_a_rare_one_is_evicted() {
    let admission = one_tier(&[4]);
    let (regular, rare) = (10, 11);
    let strangers = 100..100 + 3 * PLACES;
    for (count, stranger) in strangers.enumerate() {
        if count % 100 == 0 {
            serve(&admission, regular);
        }
        if count == 0 {
            serve(&admission, rare);
        }
        serve(&admission, stranger);
        assert!(is_known(&admission, regular), "after {count} others");
        assert!(is_known(&admission, stranger), "after {count} others");
    }
    assert!(!is_known(&admission, rare));
    assert!(admission.invariants().ok);
}

#[test]
fn a_tenant_with_a_running_request_is_never_evicted() {
    let admission = one_tier(&[4]);
    let busy = Offer { tenant: Tenant::named(10), ..offer() };
    let running = granted(admission.offer(&busy, START)).ticket;
    for stranger in 100..100 + 3 * PLACES {
        serve(&admission, stranger);
    }
    assert!(is_known(&admission, 10));
    assert!(admission.release(running, PermitOutcome::Success, START));
}

#[test]
fn a_tenant_with_a_limit_is_never_evicted() {
    let admission = one_tier(&[4]);
    let limited = Tenant { slots: Some(1), ..Tenant::named(10) };
    let grant = granted(admission.offer(&Offer { tenant: limited, ..offer() }, START));
    assert!(admission.release(grant.ticket, PermitOutcome::Success, START));
    for stranger in 100..100 + 3 * PLACES {
        serve(&admission, stranger);
    }
    assert!(is_known(&admission, 10));
    // Without its limit it is evicted like any other.
    serve(&admission, 10);
    for stranger in 100..100 + 3 * PLACES {
        serve(&admission, stranger);
    }
    assert!(!is_known(&admission, 10));
}

/// A limiter whose table is full of tenants that each run one request on the first backend; the second
/// backend has `slots`.
fn full(slots: u32, tenant_requests: u32) -> Admission {
    let limits = TierLimits { tenant_requests, ..tier(&[0, 1]) };
    let backends = vec![backend(PLACES as u32), backend(slots)];
    let admission = open(&Sizes { rows: 10_000, ..sizes(vec![limits], backends) });
    for key in 100..100 + PLACES {
        granted(admission.offer(&Offer { tenant: Tenant::named(key), ..offer() }, START));
    }
    admission
}

/// A request of a tenant without a place, on the second backend.
fn newcomer(key: u64) -> Offer {
    let tenant = Tenant::named(1_000_000 + key);
    Offer { tenant, candidates: Candidates::cold([1]), ..offer() }
}

#[test]
fn tenants_without_a_place_share_the_bound_on_waiting_requests() {
    let admission = full(1, 2);
    granted(admission.offer(&newcomer(0), START));
    queued(admission.offer(&newcomer(1), START));
    queued(admission.offer(&newcomer(2), START));
    assert_eq!(refused(admission.offer(&newcomer(3), START)).why, Refusal::QueueFull);
    // They have nothing to do with a tenant that has a place, or with requests without a name.
    let on_second = Candidates::cold([1]);
    for tenant in [Tenant::named(100), Tenant::UNKNOWN] {
        queued(admission.offer(&Offer { tenant, candidates: on_second, ..offer() }, START));
    }
    assert!(admission.invariants().ok);
    admission.rebuild();
    assert!(admission.invariants().ok);
    assert_eq!(refused(admission.offer(&newcomer(3), START)).why, Refusal::QueueFull);
}

#[test]
fn tenants_without_a_place_share_the_least_of_their_limits() {
    let admission = full(10, 100);
    let limited = |key, slots| {
        let tenant = Tenant { slots: Some(slots), ..newcomer(key).tenant };
        Offer { tenant, ..newcomer(key) }
    };
    let running: Vec<_> =
        (0..3).map(|key| granted(admission.offer(&limited(key, 3), START)).ticket).collect();
    let fourth = queued(admission.offer(&limited(3, 3), START));
    let fifth = queued(admission.offer(&limited(4, 2), START));
    assert!(admission.release(running[0], PermitOutcome::Success, START));
    assert_eq!(grants(&admission), [], "two are the limit now");
    assert!(admission.release(running[1], PermitOutcome::Success, START));
    assert_eq!(tickets(&grants(&admission)), [fourth]);
    assert!(admission.release(running[2], PermitOutcome::Success, START));
    assert_eq!(tickets(&grants(&admission)), [fifth]);
    for ticket in [fourth, fifth] {
        assert!(admission.release(ticket, PermitOutcome::Success, START));
    }
    // No one shares it any more: the limits of those before are forgotten.
    for key in 0..5 {
        granted(admission.offer(&limited(key, 5), START));
    }
    assert!(admission.invariants().ok);
}

#[test]
fn a_tenant_without_a_place_gets_one_when_others_are_idle() {
    let admission = full(10, 100);
    let limited = |key| {
        let tenant = Tenant { slots: Some(1), ..newcomer(key).tenant };
        Offer { tenant, ..newcomer(key) }
    };
    granted(admission.offer(&limited(0), START));
    let shares = queued(admission.offer(&limited(1), START));
    for ticket in admission.permits_of(offer().owner).into_iter().take(PLACES as usize) {
        assert!(admission.release(ticket, PermitOutcome::Success, START));
    }
    assert!(admission.cancel(shares, START));
    granted(admission.offer(&limited(2), START));
    assert!(is_known(&admission, limited(2).tenant.key));
    queued(admission.offer(&limited(2), START));
}
