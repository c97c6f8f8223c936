//! More tenants than there are places for.

use penstock_admission::{Admission, Offer, PermitOutcome, Tenant};

use crate::fixture::{START, granted, offer, one_tier};

/// Places for those whom somebody has named.
const PLACES: u64 = 4095;

/// A tenant has a request served.
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
