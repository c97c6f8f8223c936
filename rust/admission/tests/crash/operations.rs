//! The operations, each in a crowd where others wait or run.

use penstock_admission::time::{MILLISECOND, SECOND};
use penstock_admission::{
    Admission, Fault, Health, Notice, Offer, Outcome, Proof, Tenant, Ticket, Usage,
};

use crate::stage::{Crowd, GRACE, NOW, SLOTS, START, Stage, WAIT, crowd, offer, owner};
use crate::steps::{Actor, die_in_operation, die_in_repair};
use crate::verdict::Change;

/// One worker's doing, which concerns one request.
fn of(worker: u16) -> (Actor, Change) {
    (Actor::Worker(owner(worker)), Change::One)
}

const CONTROL: (Actor, Change) = (Actor::Control, Change::Many);

fn crowded() -> (Stage, Crowd) {
    let stage = Stage::new();
    let crowd = crowd(&stage);
    (stage, crowd)
}

/// A crowd in which a request has just been granted what another gave back, and does not know yet.
fn granted() -> (Stage, Crowd) {
    let (stage, crowd) = crowded();
    assert!(stage.admission.release(crowd.first, Outcome::Success, START));
    (stage, crowd)
}

#[test]
fn offer_that_is_granted() {
    let (stage, _) = crowded();
    let offer = Offer { tenant: Tenant::named(5), ..offer(0, 1, 1) };
    die_in_operation("offer granted", &stage, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn offer_that_waits() {
    let (stage, _) = crowded();
    let offer = Offer { tenant: Tenant::named(5), ..offer(0, 0, 0) };
    die_in_operation("offer queued", &stage, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn offer_that_is_refused() {
    let (stage, _) = crowded();
    let wide = SLOTS[0] + 1;
    let offer = Offer { tenant: Tenant::named(5), slots: wide, ..offer(0, 0, 0) };
    die_in_operation("offer refused", &stage, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn offer_of_a_tenant_that_takes_an_idle_ones_place() {
    const TENANTS: u64 = 4096;
    let (stage, _) = crowded();
    let wide = Offer { slots: SLOTS[0] + 1, ..offer(0, 0, 0) };
    for key in 10..10 + TENANTS {
        stage.admission.offer(&Offer { tenant: Tenant::named(key), ..wide }, START);
    }
    let offer = Offer { tenant: Tenant::named(5), ..offer(0, 1, 1) };
    die_in_operation("offer of a new tenant", &stage, of(0), NOW, |admission, now| {
        admission.offer(&offer, now);
    });
}

#[test]
fn release_that_lets_another_in() {
    let (stage, crowd) = crowded();
    die_in_operation("release", &stage, of(0), NOW, |admission, now| {
        admission.release(crowd.first, Outcome::Success, now);
    });
}

#[test]
fn release_that_gives_a_tenant_room() {
    let (stage, crowd) = crowded();
    die_in_operation("release for the same tenant", &stage, of(1), NOW, |admission, now| {
        admission.release(crowd.single, Outcome::Dropped, now);
    });
}

#[test]
fn release_of_what_its_owner_has_not_taken() {
    let (stage, crowd) = granted();
    die_in_operation("release of a letter", &stage, of(3), NOW, |admission, now| {
        admission.release(crowd.urgent, Outcome::Ignored, now);
    });
}

#[test]
fn cancel_of_what_waits() {
    let (stage, crowd) = crowded();
    die_in_operation("cancel queued", &stage, of(2), NOW, |admission, now| {
        admission.cancel(crowd.patient, now);
    });
}

#[test]
fn cancel_of_what_is_granted() {
    let (stage, crowd) = granted();
    die_in_operation("cancel granted", &stage, of(3), NOW, |admission, now| {
        admission.cancel(crowd.urgent, now);
    });
}

#[test]
fn cancel_of_what_is_refused() {
    let (stage, crowd) = crowded();
    stage.admission.tick(START + WAIT);
    die_in_operation("cancel refused", &stage, of(3), START + WAIT, |admission, now| {
        admission.cancel(crowd.urgent, now);
    });
}

#[test]
fn bounce() {
    let (stage, crowd) = crowded();
    die_in_operation("bounce", &stage, of(1), NOW, |admission, now| {
        let _ = admission.bounce(crowd.other, now);
    });
}

#[test]
fn put_back() {
    let (stage, crowd) = crowded();
    die_in_operation("put back", &stage, of(1), NOW, |admission, now| {
        admission.put_back(crowd.other, now);
    });
}

#[test]
fn reached_that_lets_others_in() {
    let (stage, crowd) = crowded();
    stage.admission.fail(0, Fault::Refused, NOW);
    stage.admission.fail(1, Fault::Refused, NOW);
    stage.admission.release(crowd.first, Outcome::Ignored, NOW);
    stage.admission.release(crowd.long, Outcome::Ignored, NOW);
    die_in_operation("reached", &stage, CONTROL, NOW, |admission, now| {
        admission.reached(0, Proof::Connected, now);
    });
}

#[test]
fn first_token_that_lets_another_in() {
    let (stage, crowd) = crowded();
    stage.queue(&Offer { prompt: 120, ..offer(3, 1, 1) });
    die_in_operation("first token", &stage, of(2), NOW, |admission, now| {
        admission.first_token(crowd.long, now);
    });
}

#[test]
fn grow() {
    let (stage, crowd) = crowded();
    die_in_operation("grow", &stage, of(0), NOW, |admission, _| admission.grow(crowd.first, 100));
}

#[test]
fn settle() {
    let (stage, crowd) = crowded();
    let usage = Usage { prompt: 90, cached: 40, output: 70 };
    die_in_operation("settle", &stage, of(0), NOW, |admission, _| {
        admission.settle(crowd.first, usage);
    });
}

#[test]
fn take_of_a_grant() {
    let (stage, crowd) = granted();
    die_in_operation("take granted", &stage, of(3), NOW, |admission, _| {
        let mut mail = Vec::with_capacity(4);
        admission.take_grants(3, &mut mail);
        assert!(matches!(mail[..], [Notice::Granted(grant)] if grant.ticket == crowd.urgent));
    });
}

#[test]
fn take_of_a_refusal() {
    let (stage, crowd) = crowded();
    stage.admission.tick(START + WAIT);
    let is_refusal =
        |notice: &Notice, of: Ticket| matches!(*notice, Notice::Refused(ticket, _) if ticket == of);
    die_in_operation("take refused", &stage, of(3), START + WAIT, |admission, _| {
        let mut mail = Vec::with_capacity(4);
        admission.take_grants(3, &mut mail);
        assert!(mail.len() == 1 && is_refusal(&mail[0], crowd.urgent));
    });
}

#[test]
fn reclaim() {
    let (stage, _) = granted();
    die_in_operation("reclaim", &stage, CONTROL, NOW, |admission, now| {
        admission.reclaim(owner(1), now);
    });
}

#[test]
fn reclaim_of_one_with_mail() {
    let (stage, _) = granted();
    stage.queue(&offer(3, 0, 0));
    die_in_operation("reclaim with mail", &stage, CONTROL, NOW, |admission, now| {
        admission.reclaim(owner(3), now);
    });
}

#[test]
fn limit_that_grows() {
    let (stage, _) = crowded();
    die_in_operation("limit raised", &stage, CONTROL, NOW, |admission, now| {
        admission.set_limits(0, SLOTS[0] + 1, now);
    });
}

#[test]
fn limit_of_nothing() {
    let (stage, _) = crowded();
    die_in_operation("limit of 0", &stage, CONTROL, NOW, |admission, now| {
        admission.set_limits(0, 0, now);
    });
}

#[test]
fn backend_that_goes_down() {
    let (stage, _) = crowded();
    stage.queue(&Offer { slots: 2, ..offer(3, 1, 1) });
    die_in_operation("backend down", &stage, CONTROL, NOW, |admission, now| {
        admission.set_health(1, Health::Down, now);
    });
}

#[test]
fn tick_that_expires() {
    let (stage, _) = crowded();
    die_in_operation("tick that expires", &stage, CONTROL, START + WAIT, Admission::tick);
}

#[test]
fn tick_that_ends_orphans() {
    let (stage, _) = crowded();
    stage.admission.reclaim(owner(1), START);
    die_in_operation("tick that ends orphans", &stage, CONTROL, START + GRACE, |admission, now| {
        admission.tick(now);
    });
}

#[test]
fn tick_that_finds_a_worker_absent() {
    let almost = || {
        let (stage, crowd) = crowded();
        stage.admission.tick(START);
        assert!(stage.admission.release(crowd.first, Outcome::Success, START));
        (1..200).for_each(|step| stage.admission.tick(START + step * 5 * MILLISECOND));
        stage
    };
    let stage = almost();
    stage.admission.tick(START + SECOND);
    assert!(stage.admission.permits_of(owner(3)).is_empty(), "its grant is taken back");
    let name = "tick that takes grants back";
    die_in_operation(name, &almost(), CONTROL, START + SECOND, Admission::tick);
}

#[test]
fn repair_after_a_death_in_a_release() {
    let (stage, crowd) = crowded();
    die_in_repair("repair after release", &stage, NOW, |admission, now| {
        admission.release(crowd.first, Outcome::Success, now);
    });
}
