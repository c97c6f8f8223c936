//! A worker that is alive but does not read its notifications.

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{Admission, Notification, Offer, Owner, PermitOutcome, Refusal};

use crate::fixture::{START, granted, grants, notifications, offer, one_tier, queued, tickets};

fn of_the_other() -> Offer {
    Offer { owner: Owner { worker: 1, generation: 0 }, ..offer() }
}

/// Ticks from one moment to another.
fn pass(admission: &Admission, from: Nanos, to: Nanos) {
    let mut now = from;
    while now < to {
        now += 10 * MILLISECOND;
        admission.tick(now);
    }
}

#[test]
fn grants_of_a_stalled_worker_go_to_others() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    // The worker stops before it can read these.
    let stalled: Vec<_> = (0..3).map(|_| queued(admission.offer(&of_the_other(), START))).collect();
    let own = queued(admission.offer(&offer(), START));
    admission.release(running, PermitOutcome::Success, START);
    pass(&admission, START, START + SECOND - 20 * MILLISECOND);
    assert!(grants(&admission).is_empty(), "it may still come");
    pass(&admission, START + SECOND - 20 * MILLISECOND, START + SECOND + 20 * MILLISECOND);
    // All three are skipped, and not after a second each.
    assert_eq!(tickets(&grants(&admission)), [own]);
    let refused_tickets = notifications(&admission, 1);
    let refused = |notification: &Notification| match notification {
        Notification::Refused(ticket, refused) if refused.why == Refusal::Expired => *ticket,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused_tickets.iter().map(refused).collect::<Vec<_>>(),
        stalled,
        "it hears so when it wakes"
    );
    assert!(admission.invariants().ok);
}

#[test]
fn a_worker_that_takes_its_notifications_is_granted_again() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    queued(admission.offer(&of_the_other(), START));
    admission.release(running, PermitOutcome::Success, START);
    let now = START + 2 * SECOND;
    pass(&admission, START, now);
    assert_eq!(notifications(&admission, 1).len(), 1);
    let running = granted(admission.offer(&offer(), now)).ticket;
    let again = queued(admission.offer(&of_the_other(), now));
    admission.release(running, PermitOutcome::Success, now);
    let [Notification::Granted(grant)] = notifications(&admission, 1)[..] else {
        panic!("one grant")
    };
    assert_eq!(grant.ticket, again);
}

#[test]
fn a_slow_worker_is_not_stalled() {
    let admission = one_tier(&[1]);
    let mut running = granted(admission.offer(&of_the_other(), START)).ticket;
    for step in 0..5 {
        let now = START + step * 900 * MILLISECOND;
        let next = queued(admission.offer(&of_the_other(), now));
        admission.release(running, PermitOutcome::Success, now);
        pass(&admission, now, now + 900 * MILLISECOND);
        let [Notification::Granted(grant)] = notifications(&admission, 1)[..] else {
            panic!("one grant")
        };
        assert_eq!(grant.ticket, next);
        running = next;
    }
}

/// The machine was paused, and the first worker to run again is another one.
#[test]
fn a_pause_of_the_whole_machine_makes_no_worker_stalled() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    let waiting = queued(admission.offer(&of_the_other(), START));
    admission.release(running, PermitOutcome::Success, START);
    admission.tick(START + 10 * SECOND);
    let [Notification::Granted(grant)] = notifications(&admission, 1)[..] else {
        panic!("one grant")
    };
    assert_eq!(grant.ticket, waiting);
}

/// A rebuild after a death under the lock makes no worker seem to have read its notifications.
#[test]
fn a_rebuild_does_not_reset_the_time_since_notification() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    queued(admission.offer(&of_the_other(), START));
    let own = queued(admission.offer(&offer(), START));
    admission.release(running, PermitOutcome::Success, START);
    pass(&admission, START, START + 900 * MILLISECOND);
    admission.rebuild();
    pass(&admission, START + 900 * MILLISECOND, START + 1100 * MILLISECOND);
    assert_eq!(tickets(&grants(&admission)), [own]);
}

#[test]
fn a_restarted_worker_is_not_stalled() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    queued(admission.offer(&of_the_other(), START));
    admission.release(running, PermitOutcome::Success, START);
    let now = START + 2 * SECOND;
    pass(&admission, START, now);
    admission.reclaim(of_the_other().owner, now);
    let generation = admission.begin_worker(1);
    let owner = Owner { worker: 1, generation };
    let running = granted(admission.offer(&offer(), now)).ticket;
    let next = queued(admission.offer(&Offer { owner, ..offer() }, now));
    admission.release(running, PermitOutcome::Success, now);
    let [Notification::Granted(grant)] = notifications(&admission, 1)[..] else {
        panic!("one grant")
    };
    assert_eq!(grant.ticket, next);
}

/// Its loop may read a client's request before its notifications.
#[test]
fn an_offer_shows_that_its_worker_is_not_stalled() {
    let admission = one_tier(&[1]);
    let running = granted(admission.offer(&offer(), START)).ticket;
    queued(admission.offer(&of_the_other(), START));
    admission.release(running, PermitOutcome::Success, START);
    let now = START + 2 * SECOND;
    pass(&admission, START, now);
    let running = granted(admission.offer(&offer(), now)).ticket;
    let again = queued(admission.offer(&of_the_other(), now));
    admission.release(running, PermitOutcome::Success, now);
    let [Notification::Refused(..), Notification::Granted(grant)] =
        notifications(&admission, 1)[..]
    else {
        panic!("the old one is refused, the new one granted")
    };
    assert_eq!(grant.ticket, again);
}
