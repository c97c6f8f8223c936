//! The operations, each among other requests that wait or run.

use penstock_admission::time::{MILLISECOND, SECOND};
use penstock_admission::{
    Admission, Fault, Health, Notification, Offer, PermitOutcome, Proof, Tenant, Ticket, Usage,
};

use crate::fixture::{Fixture, GRACE, NOW, Requests, SLOTS, START, WAIT, offer, owner, requests};
use crate::judge::Change;
use crate::steps::{Actor, die_in_operation, die_in_repair};

/// An operation of one worker, about one request.
fn of(worker: u16) -> (Actor, Change) {
    (Actor::Worker(owner(worker)), Change::One)
}

const CONTROL: (Actor, Change) = (Actor::Control, Change::Many);

fn busy() -> (Fixture, Requests) {
    let fixture = Fixture::new();
    let requests = requests(&fixture);
    (fixture, requests)
}

/// As [`busy`], and a request has just been granted what another gave back, and has not read that.
fn granted() -> (Fixture, Requests) {
    let (fixture, requests) = busy();
    assert!(fixture.admission.release(requests.first, PermitOutcome::Success, START));
    (fixture, requests)
}

#[test]
fn offer_that_is_granted() {
    let (fixture, _) = busy();
    let offer = Offer { tenant: Tenant::named(5), ..offer(0, 1, 1) };
    die_in_operation("offer granted", &fixture, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn offer_that_waits() {
    let (fixture, _) = busy();
    let offer = Offer { tenant: Tenant::named(5), ..offer(0, 0, 0) };
    die_in_operation("offer queued", &fixture, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn offer_that_is_refused() {
    let (fixture, _) = busy();
    let wide = SLOTS[0] + 1;
    let offer = Offer { tenant: Tenant::named(5), slots: wide, ..offer(0, 0, 0) };
    die_in_operation("offer refused", &fixture, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn offer_of_a_tenant_that_evicts_an_idle_one() {
    const TENANTS: u64 = 4096;
    let (fixture, _) = busy();
    let wide = Offer { slots: SLOTS[0] + 1, ..offer(0, 0, 0) };
    for key in 10..10 + TENANTS {
        fixture.admission.offer(&Offer { tenant: Tenant::named(key), ..wide }, START);
    }
    let offer = Offer { tenant: Tenant::named(5), ..offer(0, 1, 1) };
    die_in_operation("offer of a new tenant", &fixture, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn release_that_lets_another_in() {
    let (fixture, requests) = busy();
    die_in_operation("release", &fixture, of(0), NOW, |admission, now| {
        admission.release(requests.first, PermitOutcome::Success, now);
    });
}

#[test]
fn release_that_gives_a_tenant_room() {
    let (fixture, requests) = busy();
    die_in_operation("release for the same tenant", &fixture, of(1), NOW, |admission, now| {
        admission.release(requests.single, PermitOutcome::Dropped, now);
    });
}

#[test]
fn release_of_a_grant_that_was_not_taken() {
    let (fixture, requests) = granted();
    die_in_operation("release of a notified grant", &fixture, of(3), NOW, |admission, now| {
        admission.release(requests.urgent, PermitOutcome::Ignored, now);
    });
}

#[test]
fn cancel_of_what_waits() {
    let (fixture, requests) = busy();
    die_in_operation("cancel queued", &fixture, of(2), NOW, |admission, now| {
        admission.cancel(requests.patient, now);
    });
}

#[test]
fn cancel_of_what_is_granted() {
    let (fixture, requests) = granted();
    die_in_operation("cancel granted", &fixture, of(3), NOW, |admission, now| {
        admission.cancel(requests.urgent, now);
    });
}

#[test]
fn cancel_of_what_is_refused() {
    let (fixture, requests) = busy();
    fixture.admission.tick(START + WAIT);
    die_in_operation("cancel refused", &fixture, of(3), START + WAIT, |admission, now| {
        admission.cancel(requests.urgent, now);
    });
}

#[test]
fn pushback() {
    let (fixture, requests) = busy();
    die_in_operation("pushback", &fixture, of(1), NOW, |admission, now| {
        let _ = admission.pushback(requests.other, now);
    });
}

#[test]
fn requeue() {
    let (fixture, requests) = busy();
    die_in_operation("put back", &fixture, of(1), NOW, |admission, now| {
        admission.requeue(requests.other, now);
    });
}

#[test]
fn reached_that_lets_others_in() {
    let (fixture, requests) = busy();
    fixture.admission.fail(0, Fault::Refused, NOW);
    fixture.admission.fail(1, Fault::Refused, NOW);
    fixture.admission.release(requests.first, PermitOutcome::Ignored, NOW);
    fixture.admission.release(requests.long, PermitOutcome::Ignored, NOW);
    die_in_operation("reached", &fixture, CONTROL, NOW, |admission, now| {
        admission.reached(0, Proof::Connected, now);
    });
}

#[test]
fn first_token_that_lets_another_in() {
    let (fixture, requests) = busy();
    fixture.queue(&Offer { prompt: 120, ..offer(3, 1, 1) });
    die_in_operation("first token", &fixture, of(2), NOW, |admission, now| {
        admission.first_token(requests.long, now);
    });
}

#[test]
fn grow() {
    let (fixture, requests) = busy();
    die_in_operation("grow", &fixture, of(0), NOW, |admission, _| {
        admission.grow(requests.first, 100);
    });
}

#[test]
fn settle() {
    let (fixture, requests) = busy();
    let usage = Usage { prompt: 90, cached: 40, output: 70 };
    die_in_operation("settle", &fixture, of(0), NOW, |admission, _| {
        admission.settle(requests.first, usage);
    });
}

#[test]
fn take_of_a_grant() {
    let (fixture, requests) = granted();
    die_in_operation("take granted", &fixture, of(3), NOW, |admission, _| {
        let mut notifications = Vec::with_capacity(4);
        admission.take_grants(3, &mut notifications);
        assert!(
            matches!(notifications[..], [Notification::Granted(grant)] if grant.ticket == requests.urgent)
        );
    });
}

#[test]
fn take_of_a_refusal() {
    let (fixture, requests) = busy();
    fixture.admission.tick(START + WAIT);
    let is_refusal = |notification: &Notification, of: Ticket| matches!(*notification, Notification::Refused(ticket, _) if ticket == of);
    die_in_operation("take refused", &fixture, of(3), START + WAIT, |admission, _| {
        let mut notifications = Vec::with_capacity(4);
        admission.take_grants(3, &mut notifications);
        assert!(notifications.len() == 1 && is_refusal(&notifications[0], requests.urgent));
    });
}

#[test]
fn reclaim() {
    let (fixture, _) = granted();
    die_in_operation("reclaim", &fixture, CONTROL, NOW, |admission, now| {
        admission.reclaim(owner(1), now);
    });
}

#[test]
fn reclaim_of_a_worker_with_notifications() {
    let (fixture, _) = granted();
    fixture.queue(&offer(3, 0, 0));
    die_in_operation("reclaim with notifications", &fixture, CONTROL, NOW, |admission, now| {
        admission.reclaim(owner(3), now);
    });
}

#[test]
fn limit_that_grows() {
    let (fixture, _) = busy();
    die_in_operation("limit raised", &fixture, CONTROL, NOW, |admission, now| {
        admission.set_limits(0, SLOTS[0] + 1, now);
    });
}

#[test]
fn limit_of_nothing() {
    let (fixture, _) = busy();
    die_in_operation("limit of 0", &fixture, CONTROL, NOW, |admission, now| {
        admission.set_limits(0, 0, now);
    });
}

#[test]
fn backend_that_goes_down() {
    let (fixture, _) = busy();
    fixture.queue(&Offer { slots: 2, ..offer(3, 1, 1) });
    die_in_operation("backend down", &fixture, CONTROL, NOW, |admission, now| {
        admission.set_health(1, Health::Down, now);
    });
}

#[test]
fn tick_that_expires() {
    let (fixture, _) = busy();
    die_in_operation("tick that expires", &fixture, CONTROL, START + WAIT, Admission::tick);
}

#[test]
fn tick_that_ends_orphans() {
    let (fixture, _) = busy();
    fixture.admission.reclaim(owner(1), START);
    die_in_operation(
        "tick that ends orphans",
        &fixture,
        CONTROL,
        START + GRACE,
        |admission, now| {
            admission.tick(now);
        },
    );
}

#[test]
fn tick_that_finds_a_stalled_worker() {
    let almost = || {
        let (fixture, requests) = busy();
        fixture.admission.tick(START);
        assert!(fixture.admission.release(requests.first, PermitOutcome::Success, START));
        (1..200).for_each(|step| fixture.admission.tick(START + step * 5 * MILLISECOND));
        fixture
    };
    let fixture = almost();
    fixture.admission.tick(START + SECOND);
    assert!(fixture.admission.permits_of(owner(3)).is_empty(), "its grant is taken back");
    let name = "tick that takes grants back";
    die_in_operation(name, &almost(), CONTROL, START + SECOND, Admission::tick);
}

#[test]
fn repair_after_a_death_in_a_release() {
    let (fixture, requests) = busy();
    die_in_repair("repair after release", &fixture, NOW, |admission, now| {
        admission.release(requests.first, PermitOutcome::Success, now);
    });
}
