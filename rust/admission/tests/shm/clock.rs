//! The clock.

use std::sync::atomic::Ordering;

use penstock_admission::shm::monotonic;
use penstock_testing::fork::Child;

use crate::shared::Shared;

#[test]
fn all_processes_share_one_clock() {
    let shared = Shared::new();
    let before = monotonic();
    assert!(Child::fork(|| shared.mark(1).store(monotonic(), Ordering::Release)).wait().success());
    let after = monotonic();
    assert!((before..=after).contains(&shared.mark(1).load(Ordering::Acquire)));
}
