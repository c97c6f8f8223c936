//! An operation, one instruction at a time.

#[cfg(debug_assertions)]
use penstock_admission::kill_points::kill_after;
use penstock_admission::time::{MILLISECOND, Nanos};
use penstock_admission::{Admission, Owner};
use penstock_testing::fork::{Child, Step};

use crate::fixture::Fixture;
use crate::judge::{Change, look, reclaim};

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Its generation is over.
    Worker(Owner),
    /// Control: its next generation repeats the operation.
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

    let judge = |bytes: &[u8]| {
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
    };
    #[cfg(debug_assertions)]
    die_at_kill_points(name, &copy, &start, || work(&copy.admission, now), judge);
    die_after_stores(name, fixture, 1, || work(&fixture.admission, now), judge);
}

/// Abandons an operation at each of its kill points, and calls `died` with the segment.
#[cfg(debug_assertions)]
fn die_at_kill_points(
    name: &str,
    fixture: &Fixture,
    start: &[u8],
    work: impl Fn(),
    died: impl Fn(&[u8]),
) {
    for point in 1.. {
        fixture.memory.write(start);
        if kill_after(point, &work).is_some() {
            assert!(point > 1, "there are points");
            println!("{name}: {} kill points", point - 1);
            return;
        }
        let bytes = fixture.memory.read().to_vec();
        died(&bytes);
    }
}

/// Dies in the middle of an operation, and once more while that is repaired. What the next holder finds
/// must not depend on the second death.
pub fn die_in_repair(name: &str, fixture: &Fixture, now: Nanos, work: impl Fn(&Admission, Nanos)) {
    /// A repair passes over tables with thousands of empty entries.
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
    // Taking the lock is enough: it repairs.
    let repair = |fixture: &Fixture| assert!(fixture.admission.rows() > 0);
    let judge = |bytes: &[u8]| assert_eq!(seen_in(bytes), seen);
    #[cfg(debug_assertions)]
    die_at_kill_points(name, &copy, image, || repair(&copy), judge);
    die_after_stores(name, fixture, STRIDE, || repair(fixture), judge);
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
