//! The lock between users that live.

use std::thread;

use penstock_admission::shm::{Found, LockTimeout};
use penstock_testing::fork::Child;

use crate::shared::{SHORT, Shared};

/// Users of the lock at once.
const USERS: u64 = 4;

#[test]
fn only_one_thread_holds_the_lock() {
    let shared = Shared::on_heap();
    thread::scope(|scope| {
        for _ in 0..USERS {
            scope.spawn(|| (0..20_000).for_each(|_| assert_eq!(shared.add(), Found::Clean)));
        }
    });
    assert_eq!(shared.state(), (Found::Clean, [USERS * 20_000; 2]));
}

#[test]
fn only_one_process_holds_the_lock() {
    let shared = Shared::new();
    let children: Vec<Child> = (0..USERS)
        .map(|_| Child::fork(|| (0..20_000).for_each(|_| assert_eq!(shared.add(), Found::Clean))))
        .collect();
    for child in children {
        assert!(child.wait().success());
    }
    assert_eq!(shared.state(), (Found::Clean, [USERS * 20_000; 2]));
}

#[test]
#[should_panic(expected = "Resource deadlock avoided")]
fn a_thread_that_takes_the_lock_twice_panics() {
    let shared = Shared::on_heap();
    let _guard = shared.region.lock();
    let _ = shared.region.lock();
}

#[test]
fn a_lock_that_is_held_cannot_be_had_in_time() {
    let shared = Shared::on_heap();
    let guard = shared.region.lock();
    let holder = shared.region.holder().expect("it is held");
    assert_eq!(holder.pid().expect("this process"), std::process::id());
    thread::scope(|scope| {
        let other = scope.spawn(|| shared.region.try_lock(SHORT).map(drop));
        assert_eq!(other.join().expect("no panic"), Err(LockTimeout(Some(holder))));
    });
    drop(guard);
    assert_eq!(shared.region.holder(), None);
    assert_eq!(shared.found(), Found::Clean);
}

#[test]
fn progress_tells_one_holding_from_the_next() {
    let shared = Shared::on_heap();
    let hold = || {
        let _guard = shared.region.lock();
        shared.region.holder().expect("it is held")
    };
    let (first, second) = (hold(), hold());
    assert_eq!(first.tid, second.tid);
    assert!(first.progress < second.progress);
}
