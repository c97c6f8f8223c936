//! Holders that die, and the state that they leave.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use penstock_admission::shm::Found;
use penstock_testing::fork::{Child, until};

use crate::shared::Shared;

fn die() -> ! {
    // SAFETY: numbers alone.
    unsafe { libc::raise(libc::SIGKILL) };
    unreachable!("nothing runs after that")
}

#[test]
fn a_killed_holder_leaves_the_lock_orphaned_until_it_is_repaired() {
    let shared = Shared::new();
    let child = shared.fork_holder();
    assert_eq!(shared.region.holder().expect("it is held").tid, child.pid());
    assert_eq!(child.kill().signal(), Some(libc::SIGKILL));
    assert_eq!(shared.region.holder(), None, "the dead hold nothing");

    let mut guard = shared.region.lock();
    assert_eq!(guard.found(), Found::Inconsistent);
    assert_eq!(shared.pair(&mut guard), [1, 0], "half a change");
    guard.repaired();
    assert_eq!(guard.found(), Found::Clean);
    drop(guard);
    assert_eq!(shared.found(), Found::Clean);
}

#[test]
fn an_orphaned_lock_stays_so_until_someone_has_repaired_it() {
    let shared = Shared::new();
    shared.fork_holder().kill();
    for _ in 0..3 {
        assert_eq!(shared.found(), Found::Inconsistent, "dropped without repair");
    }
    for _ in 0..3 {
        let repairer = shared.fork_holder();
        assert_eq!(repairer.kill().signal(), Some(libc::SIGKILL));
    }
    assert_eq!(shared.add(), Found::Inconsistent, "its repairers died");
    assert_eq!(shared.found(), Found::Clean);
}

/// Where a process dies around one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    BeforeTaking,
    AfterTaking,
    AfterOneWord,
    AfterBoth,
    AfterGivingBack,
}

#[test]
fn a_death_orphans_the_lock_only_while_it_is_held() {
    use Death::{AfterBoth, AfterGivingBack, AfterOneWord, AfterTaking, BeforeTaking};
    for death in [BeforeTaking, AfterTaking, AfterOneWord, AfterBoth, AfterGivingBack] {
        let shared = Shared::new();
        let at = |step| {
            if step == death {
                die();
            }
        };
        let child = Child::fork(|| {
            at(BeforeTaking);
            let mut guard = shared.region.lock();
            at(AfterTaking);
            let pair = shared.pair(&mut guard);
            pair[0] += 1;
            at(AfterOneWord);
            pair[1] += 1;
            at(AfterBoth);
            drop(guard);
            at(AfterGivingBack);
        });
        assert_eq!(child.wait().signal(), Some(libc::SIGKILL), "{death:?}");
        let expected = match death {
            BeforeTaking | AfterGivingBack => Found::Clean,
            AfterTaking | AfterOneWord | AfterBoth => Found::Inconsistent,
        };
        assert_eq!(shared.found(), expected, "{death:?}");
    }
}

#[test]
fn processes_killed_at_random_never_leave_half_a_change_unnoticed() {
    const KILLS: u64 = 200;
    let shared = Shared::new();
    let spawn = || {
        Child::fork(|| {
            loop {
                if shared.add() == Found::Inconsistent {
                    shared.mark(1).fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let mut children: Vec<Child> = (0..4).map(|_| spawn()).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    println!("seed {random:#x}");
    for kill in 0..KILLS {
        // xorshift64 (Marsaglia 2003)
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_micros(random % 1_000));
        let victim = children.swap_remove((random >> 32) as usize % children.len());
        assert_eq!(victim.kill().signal(), Some(libc::SIGKILL), "kill {kill}: no child fails");
        children.push(spawn());
    }
    let total = || shared.pair(&mut shared.region.lock())[0];
    let before = total();
    until("they go on", || total() > before);
    drop(children);
    shared.add();
    let (found, pair) = shared.state();
    assert_eq!((found, pair[0]), (Found::Clean, pair[1]));
    println!("{} changes, {} repairs", pair[0], shared.mark(1).load(Ordering::Relaxed));
}

#[test]
fn a_panic_leaves_the_lock_orphaned() {
    for shared in [Shared::on_heap(), Shared::new()] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = shared.region.lock();
            shared.pair(&mut guard)[0] += 1;
            panic!("in the middle of a change");
        }));
        assert!(panicked.is_err());
        assert_eq!(shared.add(), Found::Inconsistent);
        assert_eq!(shared.add(), Found::Clean);
    }
}
