//! Permits that no request owns.

use penstock_core::metrics::Total;
use penstock_core::time::SECOND;

use crate::config::{A, on};
use crate::fake::Effect::Connect;
use crate::harness::Harness;

#[test]
fn a_leaked_permit_is_found_counted_and_given_back() {
    let mut h = Harness::new(on(&["a"], 1));
    // In admission's eyes it is this worker, which knows nothing of it.
    h.of_same_owner().submit(1);
    h.pass(8 * SECOND + SECOND / 2);
    h.submit(2);
    assert_eq!((h.take(), h.counts()), (vec![], [1, 1, 0]));
    assert_eq!(h.segment.registry.total(Total::PermitsLeaked), 0);
    h.pass(SECOND + SECOND / 2);
    assert_eq!((h.take(), h.counts()), (vec![Connect(0, A)], [0, 1, 0]));
    assert_eq!(h.segment.registry.total(Total::PermitsLeaked), 1);
}

#[test]
fn nobody_s_permit_is_taken_for_a_leak() {
    let mut h = Harness::new(on(&["a"], 4));
    let mut neighbour = h.neighbour();
    neighbour.start(7);
    h.pass(9 * SECOND + 9 * SECOND / 10);
    // At the sweep one runs, one is aborted, and one is another worker's.
    h.start_whole(1);
    h.start(2);
    h.gone(2);
    h.pass(SECOND / 10);
    assert_eq!(h.counts(), [0, 2, 1]);
    assert_eq!(h.segment.registry.total(Total::PermitsLeaked), 0);
}
