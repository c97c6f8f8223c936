//! Workers that are killed at any moment share one admission, and the backends see no effect: no limit is
//! exceeded, no permit is lost, none is taken from the living.
//!
//! The processes, the segment and its lock are real. The backends are counters, and time is what the
//! supervisor says: it passes no faster than real time.

#![allow(unsafe_code)] // processes are forked and signalled
#![allow(unreachable_pub)]

mod backends;
mod machine;
mod random;
mod supervisor;
mod worker;

use std::time::Duration;

use penstock_admission::Resources;

use backends::LIMITS;
use machine::Machine;
use supervisor::Supervisor;

/// Workers that die, one of them because it stopped with the lock.
const DEATHS: usize = 200;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

#[test]
fn killed_workers_never_break_a_limit_nor_lose_a_permit() {
    println!("seed {SEED:#x}");
    let machine = Machine::new();
    let mut supervisor = Supervisor::new(&machine, SEED);
    for death in 0..DEATHS {
        supervisor.pass(Duration::from_millis(20));
        if death == DEATHS / 2 {
            supervisor.freeze_a_holder();
        } else {
            supervisor.kill_one();
        }
    }
    supervisor.drain();

    let end = machine.admission.invariants();
    assert!(end.ok, "{end:?}");
    assert_eq!((end.queued, end.running, end.closing), (0, 0, 0));
    assert_eq!(end.arrived, end.finished);
    for backend in 0..2 {
        assert_eq!(machine.admission.backend(backend).cap.used, Resources::default());
    }
    let backends = machine.backends();
    assert!(backends.are_idle());
    assert_eq!(backends.peaks(), LIMITS, "all limits were reached, and none exceeded");
    println!(
        "{DEATHS} deaths, {} with the lock; {} requests, {} of them ran",
        supervisor.with_lock,
        end.arrived,
        backends.started()
    );
}
