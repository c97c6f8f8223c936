//! Which workers an operation wakes: those whose requests it has granted, and no others.

use std::fs;
use std::sync::Arc;

use penstock_admission::shm::{Layout, Region, Wakers};
use penstock_admission::time::SECOND;
use penstock_admission::{Admission, AdmissionParts, Offer, Owner, PermitOutcome};

use crate::fixture::{START, backend, granted, notifications, offer, queued, sizes, tier};

const WORKERS: u16 = 4;

struct Office {
    admission: Admission,
    wakers: Arc<Wakers>,
}

impl Office {
    fn new(slots: u32) -> Self {
        let mut sizes = sizes(vec![tier(&[0])], vec![backend(slots)]);
        sizes.workers = usize::from(WORKERS);
        let mut layout = Layout::new();
        let parts = AdmissionParts::add(&mut layout, &sizes);
        let region = Arc::new(Region::on_heap(&layout));
        let wakers = Arc::new(Wakers::new(sizes.workers).expect("there are descriptors"));
        let admission = Admission::create(region, parts, Arc::clone(&wakers), &sizes, START);
        Office { admission, wakers }
    }

    /// How often each worker was woken since the last call.
    fn woken(&self) -> Vec<u64> {
        let count = |worker| {
            let fd = self.wakers.fd(worker).expect("it has one");
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("it is open");
            let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"));
            self.wakers.drain(worker);
            u64::from_str_radix(count.expect("an eventfd").trim(), 16).expect("a number")
        };
        (0..usize::from(WORKERS)).map(count).collect()
    }
}

fn of(worker: u16) -> Offer {
    Offer { owner: Owner { worker, generation: 0 }, ..offer() }
}

#[test]
fn a_release_wakes_the_worker_of_the_request_that_it_lets_in() {
    let office = Office::new(1);
    let mut running = granted(office.admission.offer(&of(0), START)).ticket;
    let order = [2, 1, 3, 3];
    let waiting = order.map(|worker| queued(office.admission.offer(&of(worker), START)));
    assert_eq!(office.woken(), [0, 0, 0, 0], "to come and to wait wakes nobody");
    for (worker, next) in order.into_iter().zip(waiting) {
        office.admission.release(running, PermitOutcome::Success, START);
        let mut expected = vec![0; usize::from(WORKERS)];
        expected[usize::from(worker)] = 1;
        assert_eq!(office.woken(), expected);
        assert_eq!(notifications(&office.admission, worker).len(), 1);
        running = next;
    }
    office.admission.release(running, PermitOutcome::Success, START);
    assert_eq!(office.woken(), [0, 0, 0, 0]);
}

#[test]
fn several_grants_of_one_release_wake_each_worker_once() {
    let office = Office::new(4);
    let wide = granted(office.admission.offer(&Offer { slots: 4, ..of(0) }, START)).ticket;
    for worker in [1, 1, 2, 1, 3] {
        queued(office.admission.offer(&of(worker), START));
    }
    office.admission.release(wide, PermitOutcome::Success, START);
    assert_eq!(office.woken(), [0, 1, 1, 0], "the fifth does not fit");
    assert_eq!(notifications(&office.admission, 1).len(), 3);
}

#[test]
fn a_worker_does_not_wake_itself() {
    let office = Office::new(1);
    let own = office.admission.of_worker(2);
    let running = granted(own.offer(&of(2), START)).ticket;
    queued(own.offer(&of(2), START));
    own.release(running, PermitOutcome::Success, START);
    assert_eq!(office.woken(), [0, 0, 0, 0]);
    assert!(own.has_notifications(2));
}

#[test]
fn an_expired_request_wakes_its_worker() {
    let office = Office::new(1);
    granted(office.admission.offer(&of(0), START));
    queued(office.admission.offer(&of(3), START));
    office.admission.tick(START + SECOND);
    assert_eq!(office.woken(), [0, 0, 0, 0]);
    office.admission.tick(START + 60 * SECOND);
    assert_eq!(office.woken(), [0, 0, 0, 1]);
}

/// The dead worker may have granted something and died before it woke the owner.
#[test]
fn reclaim_wakes_every_worker() {
    let office = Office::new(1);
    office.admission.reclaim(of(1).owner, START);
    assert_eq!(office.woken(), [1, 1, 1, 1]);
}
