//! Workers that die at any kill point of an operation, in one thread and on virtual time, as in a
//! simulation of the whole gateway.

use penstock_admission::kill_points::kill_after;
use penstock_admission::{Admission, Decision, Notification, Offer, Owner, PermitOutcome, Ticket};

use crate::fixture::{GRACE, START, notifications, offer, one_tier};

/// One generation of a worker, and its permits.
struct Worker {
    owner: Owner,
    held: Vec<Ticket>,
}

impl Worker {
    fn begin(admission: &Admission, worker: u16) -> Self {
        let generation = admission.begin_worker(worker);
        Worker { owner: Owner { worker, generation }, held: Vec::new() }
    }

    /// Offers one request, reads its notifications, and releases its oldest permit.
    fn work(&mut self, admission: &Admission) {
        if let Decision::Granted(grant) =
            admission.offer(&Offer { owner: self.owner, ..offer() }, START)
        {
            self.held.push(grant.ticket);
        }
        for notification in notifications(admission, self.owner.worker) {
            if let Notification::Granted(grant) = notification {
                self.held.push(grant.ticket);
            }
        }
        if self.held.len() > 1 {
            let released = admission.release(self.held[0], PermitOutcome::Success, START);
            assert!(released, "a permit of the living is gone");
            self.held.remove(0);
        }
    }
}

#[test]
fn a_worker_that_dies_anywhere_takes_nothing_from_another() {
    let mut finished = false;
    for point in 1.. {
        let admission = one_tier(&[2]);
        let mut living = Worker::begin(&admission, 0);
        let mut dying = Worker::begin(&admission, 1);
        for _ in 0..2 {
            living.work(&admission);
            dying.work(&admission);
        }
        finished = kill_after(point, || dying.work(&admission)).is_some();
        if finished {
            println!("{} points", point - 1);
            break;
        }
        let found = admission.invariants();
        assert!(found.ok, "after point {point}: {found:?}");
        admission.reclaim(dying.owner, START);
        assert_eq!(admission.permits_of(dying.owner), []);
        let mut next = Worker::begin(&admission, 1);
        admission.tick(START + GRACE);
        for _ in 0..10 {
            living.work(&admission);
            next.work(&admission);
        }
        assert!(!living.held.is_empty() || !next.held.is_empty(), "after point {point}");
    }
    assert!(finished);
}

#[test]
fn an_operation_without_a_death_is_as_without_kill_points() {
    let admission = one_tier(&[2]);
    let decision = kill_after(u64::MAX, || admission.offer(&offer(), START));
    assert!(matches!(decision, Some(Decision::Granted(_))));
    assert_eq!(admission.invariants().running, 1);
}
