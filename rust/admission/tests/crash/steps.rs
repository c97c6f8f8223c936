//! An operation, one instruction at a time.

use penstock_admission::time::{MILLISECOND, Nanos};
use penstock_admission::{Admission, Owner};
use penstock_testing::fork::{Child, Step};

use crate::fixture::Fixture;
use crate::judge::{Change, look, reclaim};

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Its life is over then.
    Worker(Owner),
    /// What it does, its next life does again.
    Control,
}

/// Dies after each store of an operation at `now`, and judges what is left.
pub fn die_in_operation(
    name: &str,
    fixture: &Fixture,
    (actor, change): (Actor, Change),
    now: Nanos,
    work: impl Fn(&Admission, Nanos),
) {
    let copy = Fixture::new();
    let seen_in = |bytes: &[u8]| {
        copy.memory.write(bytes);
        look(&copy, now)
    };
    let start = fixture.memory.read().to_vec();
    let before = seen_in(&start);
    copy.memory.write(&start);
    work(&copy.admission, now);
    let end = copy.memory.read().to_vec();
    let after = seen_in(&end);
    assert_ne!(before, after, "it changes something");

    die_after_stores(
        name,
        fixture,
        1,
        || work(&fixture.admission, now),
        |bytes| {
            let seen = seen_in(bytes);
            change.judge(&seen, &before, &after);
            copy.memory.write(bytes);
            match actor {
                Actor::Worker(dead) => reclaim(&copy, dead, &seen, now),
                Actor::Control => {
                    let next = now + 10 * MILLISECOND;
                    work(&copy.admission, next);
                    let again = look(&copy, next);
                    assert_eq!(again.ends(), after.ends(), "done again, it is done");
                }
            }
        },
    );
}

/// Dies in the middle of an operation, and then once more while that is repaired. What someone finds
/// who takes the lock at last must not depend on the second death.
pub fn die_in_repair(name: &str, fixture: &Fixture, now: Nanos, work: impl Fn(&Admission, Nanos)) {
    /// A repair passes over tables of thousands of empty places.
    const STRIDE: u32 = 64;
    let mut images = Vec::new();
    die_after_stores(
        name,
        fixture,
        1,
        || work(&fixture.admission, now),
        |bytes| {
            images.push(bytes.to_vec());
        },
    );
    let Some(image) = images.get(images.len() / 2) else { return };
    let copy = Fixture::new();
    let seen_in = |bytes: &[u8]| {
        copy.memory.write(bytes);
        look(&copy, now)
    };
    let seen = seen_in(image);
    fixture.memory.write(image);
    // Taking the lock is enough.
    let repair = || assert!(fixture.admission.rows() > 0);
    die_after_stores(name, fixture, STRIDE, repair, |bytes| {
        assert_eq!(seen_in(bytes), seen);
    });
}

/// Runs an operation in a traced child, and calls `died` with the segment after every `stride`th
/// instruction, if it has changed since.
fn die_after_stores(
    name: &str,
    fixture: &Fixture,
    stride: u32,
    work: impl FnOnce(),
    mut died: impl FnMut(&[u8]),
) {
    let mut bytes = fixture.memory.read().to_vec();
    let Some(mut child) = Child::fork_traced(work) else { return };
    let (mut instructions, mut changes) = (0, 0);
    while child.step() == Step::Done {
        instructions += 1;
        if instructions % stride == 0 && fixture.memory.read() != bytes {
            changes += 1;
            bytes.copy_from_slice(fixture.memory.read());
            died(&bytes);
        }
    }
    println!("{name}: {changes} changes in {instructions} instructions");
}
