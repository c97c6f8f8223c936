//! Holders that stop.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use penstock_admission::shm::{Found, LockTimeout, Watchdog, monotonic};
use penstock_admission::time::{MILLISECOND, SECOND};
use penstock_testing::fork::{Child, until};

use crate::shared::{SHORT, Shared, sleep_for_ever};

#[test]
fn a_stopped_holder_is_named_and_killed() {
    let shared = Shared::new();
    let mut child = shared.fork_holder();
    child.stop();
    let Err(LockTimeout(Some(holder))) = shared.region.try_lock(SHORT) else {
        panic!("it is held");
    };
    assert_eq!(holder.tid, child.pid());
    assert_eq!(holder.pid().expect("it lives"), child.pid());

    let mut watchdog = Watchdog::new(SECOND);
    let named = (0..=10)
        .find_map(|look| watchdog.check(shared.region.holder(), SECOND + look * 100 * MILLISECOND));
    assert_eq!(named, Some(holder));
    assert!(shared.region.kill(holder).expect("ours"));
    assert_eq!(child.wait().signal(), Some(libc::SIGKILL));
    assert_eq!(shared.found(), Found::Inconsistent);
}

#[test]
fn a_holder_that_has_unlocked_is_not_killed() {
    let shared = Shared::new();
    let child = Child::fork(|| {
        for _ in 0..2 {
            let _guard = shared.region.lock();
            shared.ready();
            until("the test has looked", || shared.mark(1).swap(0, Ordering::Acquire) == 1);
        }
        shared.ready();
        sleep_for_ever();
    });
    shared.until_ready();
    let first = shared.region.holder().expect("it is held");
    shared.mark(1).store(1, Ordering::Release);
    shared.until_ready();
    let second = shared.region.holder().expect("it is held again");
    assert_eq!(first.tid, second.tid);
    assert!(!shared.region.kill(first).expect("no error"), "that holding is over");

    shared.mark(1).store(1, Ordering::Release);
    shared.until_ready();
    assert!(!shared.region.kill(second).expect("no error"), "the lock is free");
    assert_eq!(shared.add(), Found::Clean);
    assert_eq!(child.kill().signal(), Some(libc::SIGKILL), "it lived until now");
    assert!(!shared.region.kill(second).expect("no error"), "the process is gone");
}

#[test]
fn a_waiter_kills_a_stopped_holder_at_last() {
    let shared = Shared::new();
    // The id of a thread that is not its process's first differs from the process's.
    let mut child = Child::fork(|| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let _guard = shared.region.lock();
                shared.ready();
                sleep_for_ever();
            });
        });
    });
    shared.until_ready();
    child.stop();
    let holder = shared.region.holder().expect("it is held");
    assert_ne!(holder.tid, child.pid());
    assert_eq!(holder.pid().expect("it lives"), child.pid());

    let start = monotonic();
    assert_eq!(shared.add(), Found::Inconsistent);
    assert!(monotonic() - start >= 3 * SECOND, "it has had its time");
    assert_eq!(child.wait().signal(), Some(libc::SIGKILL));
}

#[test]
fn a_holder_of_private_memory_is_waited_for() {
    let shared = Shared::on_heap();
    let guard = shared.region.lock();
    let holder = shared.region.holder().expect("it is held");
    assert!(!shared.region.kill(holder).expect("no error"));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| shared.add());
        thread::sleep(Duration::from_millis(3_500));
        assert!(!waiter.is_finished());
        drop(guard);
        assert_eq!(waiter.join().expect("no panic"), Found::Clean);
    });
}
