//! A holder that stops or dies after each single instruction, from before the lock to after the unlock.

// Stepping through the atomics of an ARM processor without LSE never ends.
#![cfg(target_arch = "x86_64")]

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use penstock_admission::shm::{Found, LockTimeout};
use penstock_testing::fork::{Child, Step};

use crate::shared::Shared;

#[test]
fn a_stop_or_death_after_any_instruction_is_seen_for_what_it_is() {
    let mut held = 0;
    let Some(instructions) = after_each_instruction(Shared::new, |shared, child| {
        let holder = stop_and_die(shared, child);
        let (found, pair) = shared.state();
        match found {
            Found::Clean => assert_eq!(pair[0], pair[1], "a whole change, or none"),
            Found::Inconsistent => assert!(holder.is_some(), "it could have changed something"),
        }
        held += u32::from(holder.is_some());
    }) else {
        return;
    };
    println!("{instructions} instructions, the lock held after {held} of them");
    assert!(held > 10);
}

#[test]
fn a_repairer_that_dies_after_any_instruction_leaves_the_lock_orphaned_or_repaired() {
    let orphan = || {
        let shared = Shared::new();
        shared.fork_holder().kill();
        shared
    };
    let mut repaired = 0;
    let Some(instructions) = after_each_instruction(orphan, |shared, child| {
        stop_and_die(shared, child);
        let (found, pair) = shared.state();
        if found == Found::Clean {
            assert_eq!(pair, [2, 2], "half a change made whole, and a whole one");
            repaired += 1;
        }
    }) else {
        return;
    };
    println!("{instructions} instructions, repaired after {repaired} of them");
    assert!(0 < repaired && repaired < instructions);
}

/// Runs a child that makes one change, once for each of its instructions, up to that one. Returns how many
/// these are, or none where processes may not be traced.
fn after_each_instruction(
    start: impl Fn() -> Shared,
    mut check: impl FnMut(&Shared, Child),
) -> Option<u32> {
    for instructions in 0.. {
        let shared = start();
        let mut child = Child::fork_traced(|| {
            shared.add();
        })?;
        let is_through = (0..instructions).any(|_| child.step() == Step::End);
        check(&shared, child);
        if is_through {
            return Some(instructions);
        }
    }
    unreachable!("there are fewer instructions than numbers")
}

/// The child stands still: the lock can be taken, or its holder is reported. Then the child dies. Returns
/// its thread if it held the lock.
fn stop_and_die(shared: &Shared, child: Child) -> Option<u32> {
    let holder = match shared.region.try_lock(Duration::ZERO) {
        Ok(_) => None,
        Err(LockTimeout(holder)) => Some(holder.expect("it is held")),
    };
    if let Some(holder) = holder {
        assert_eq!(holder.tid, child.pid());
        assert!(shared.region.kill(holder).expect("ours"));
    }
    assert_eq!(child.kill().signal(), Some(libc::SIGKILL));
    holder.map(|holder| holder.tid)
}
