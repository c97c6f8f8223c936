//! What one decision of admission costs, on the shared segment with nobody else at it.
//!
//! `cargo bench -p penstock-admission --bench admission`

#![allow(missing_docs)]

#[path = "setup.rs"]
mod setup;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use penstock_admission::shm::monotonic;
use penstock_admission::{Decision, Grant, Notification, PermitOutcome};

use setup::{offer, shared, sizes};

fn decisions(criterion: &mut Criterion) {
    for backends in [1, 8] {
        let admission = shared(&sizes(backends, 64, 4)).of_worker(0);
        let offer = offer(0, backends);
        let grant = || match admission.offer(black_box(&offer), monotonic()) {
            Decision::Granted(Grant { ticket, .. }) => ticket,
            other => panic!("{other:?}"),
        };
        criterion.bench_function(&format!("grant and release, {backends} backends"), |bencher| {
            bencher.iter(|| {
                let ticket = grant();
                admission.release(ticket, PermitOutcome::Success, monotonic());
            });
        });
    }
    // One slot, a hundred waiting: each round, one comes, one ends, one is granted and taken.
    let admission = shared(&sizes(1, 1, 4)).of_worker(0);
    let offer = offer(0, 1);
    let Decision::Granted(Grant { ticket: mut running, .. }) = admission.offer(&offer, monotonic())
    else {
        panic!("the first is granted")
    };
    for _ in 0..100 {
        assert!(matches!(admission.offer(&offer, monotonic()), Decision::Queued(_)));
    }
    let mut notifications = Vec::new();
    criterion.bench_function("queue, hand over, take; 100 waiting", |bencher| {
        bencher.iter(|| {
            black_box(admission.offer(black_box(&offer), monotonic()));
            admission.release(running, PermitOutcome::Success, monotonic());
            admission.take_grants(0, &mut notifications);
            match notifications.pop() {
                Some(Notification::Granted(grant)) => running = grant.ticket,
                other => panic!("{other:?}"),
            }
        });
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
