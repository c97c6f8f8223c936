//! The watchdog alone, on virtual time.

use penstock_admission::shm::{Holder, Watchdog};

const HOLDER: Option<Holder> = Some(Holder { tid: 7, progress: 1 });
/// The same thread, which has unlocked and taken the lock again.
const AGAIN: Option<Holder> = Some(Holder { tid: 7, progress: 3 });
const OTHER: Option<Holder> = Some(Holder { tid: 8, progress: 3 });

#[test]
fn the_watchdog_reports_a_holder_without_progress_for_the_limit() {
    let mut watchdog = Watchdog::new(1_000);
    for now in [5_000, 5_100, 5_500, 5_999] {
        assert_eq!(watchdog.check(HOLDER, now), None, "{now}");
    }
    assert_eq!(watchdog.check(HOLDER, 6_000), HOLDER);
    assert_eq!(watchdog.check(HOLDER, 6_001), HOLDER, "it still holds the lock");
    assert_eq!(watchdog.check(AGAIN, 6_002), None, "it has moved on");
}

#[test]
fn the_watchdog_begins_anew_with_every_change() {
    for change in [AGAIN, OTHER, None] {
        let mut watchdog = Watchdog::new(1_000);
        watchdog.check(HOLDER, 5_000);
        watchdog.check(HOLDER, 5_400);
        assert_eq!(watchdog.check(change, 5_800), None);
        assert_eq!(watchdog.check(HOLDER, 6_000), None, "{change:?}");
        assert_eq!(watchdog.check(HOLDER, 6_400), None, "{change:?}");
    }
    let mut watchdog = Watchdog::new(1_000);
    assert!((0..100).all(|look| watchdog.check(None, look * 500).is_none()), "a free lock");
}

#[test]
fn a_pause_of_the_whole_machine_is_not_held_against_anyone() {
    let mut watchdog = Watchdog::new(1_000);
    watchdog.check(HOLDER, 5_000);
    assert_eq!(watchdog.check(HOLDER, 3_605_000), None, "an hour later");
    assert_eq!(watchdog.check(HOLDER, 3_605_499), None);
    assert_eq!(watchdog.check(HOLDER, 3_605_500), HOLDER);
}
