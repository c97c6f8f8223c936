//! Which workers are woken.

use std::os::fd::RawFd;

use penstock_admission::shm::Wakers;
use penstock_testing::fork::Child;

fn is_readable(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, ours.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

fn awake(wakers: &Wakers) -> Vec<usize> {
    (0..3).filter(|&worker| is_readable(wakers.fd(worker).expect("a descriptor"))).collect()
}

#[test]
fn wakers_wake_exactly_the_workers_that_are_named() {
    let wakers = Wakers::new(3).expect("descriptors");
    assert!(awake(&wakers).is_empty());
    wakers.wake(0b101);
    wakers.wake(0b001);
    assert_eq!(awake(&wakers), [0, 2]);
    wakers.drain(0);
    assert_eq!(awake(&wakers), [2], "one drain for any number of wakes");
    wakers.drain(2);
    wakers.drain(2);
    assert!(awake(&wakers).is_empty());
    wakers.wake(0);
    wakers.wake(!0b111);
    assert!(awake(&wakers).is_empty(), "there are no such workers");
    assert_eq!(wakers.fd(3), None);
}

#[test]
fn a_process_wakes_another() {
    let wakers = Wakers::new(3).expect("descriptors");
    assert!(Child::fork(|| wakers.wake(0b010)).wait().success());
    assert_eq!(awake(&wakers), [1]);
    assert!(Child::fork(|| wakers.drain(1)).wait().success());
    assert!(awake(&wakers).is_empty());
}

#[test]
fn a_single_process_has_no_wakers() {
    let wakers = Wakers::none();
    wakers.wake(u64::MAX);
    wakers.drain(0);
    assert_eq!(wakers.fd(0), None);
}
