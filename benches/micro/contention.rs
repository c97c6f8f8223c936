//! Decisions a second when several processes are at the lock all the time.
//!
//! `cargo bench -p penstock-admission --bench contention`; prints one JSON line for each number of
//! processes. Run it under `taskset -c 1` for the figure on one core.

#![allow(missing_docs, unsafe_code)]

#[path = "setup.rs"]
mod setup;

use std::time::{Duration, Instant};

use penstock_admission::shm::monotonic;
use penstock_admission::{Admission, Decision, PermitOutcome};

use setup::{offer, shared, sizes};

const TIME: Duration = Duration::from_secs(3);

/// Offers and releases until the time is over; a decision is an offer with its grant.
fn work(admission: &Admission, worker: u16) -> u64 {
    let admission = admission.of_worker(worker);
    let offer = offer(worker, 1);
    let end = Instant::now() + TIME;
    let mut decisions = 0;
    while Instant::now() < end {
        for _ in 0..100 {
            match admission.offer(&offer, monotonic()) {
                Decision::Granted(grant) => {
                    admission.release(grant.ticket, PermitOutcome::Success, monotonic());
                }
                other => panic!("{other:?}"),
            }
            decisions += 1;
        }
    }
    decisions
}

fn main() {
    for processes in [1, 2, 4] {
        let admission = shared(&sizes(1, 1000, 4));
        let mut children = Vec::new();
        for worker in 0..processes {
            let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
            // SAFETY: this process has a single thread.
            match unsafe { libc::fork() } {
                0 => {
                    let decisions = work(&admission, worker);
                    std::io::Write::write_all(&mut writer, &decisions.to_ne_bytes())
                        .expect("a pipe");
                    std::process::exit(0);
                }
                pid => children.push((pid, {
                    drop(writer);
                    move || {
                        let mut bytes = [0; 8];
                        std::io::Read::read_exact(&mut reader, &mut bytes)
                            .expect("a child's count");
                        u64::from_ne_bytes(bytes)
                    }
                })),
            }
        }
        let mut total = 0;
        for (pid, mut count) in children {
            total += count();
            // SAFETY: it is a child of this process.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        }
        let sums = admission.invariants();
        assert!(sums.ok && sums.running == 0, "{sums:?}");
        let rate = total as f64 / TIME.as_secs_f64();
        println!("{{\"processes\": {processes}, \"decisions_per_second\": {rate:.0}}}");
    }
}
