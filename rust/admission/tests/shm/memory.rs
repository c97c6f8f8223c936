//! The memory: its parts, its limits.

use std::fs::File;
use std::io;
use std::mem::forget;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use penstock_admission::shm::{Found, Layout, Locked, Open, Region};

use crate::shared::Shared;

#[test]
fn parts_lie_apart_on_cache_lines_and_are_zero() {
    let mut layout = Layout::new();
    let empty = layout.bytes();
    let bytes: Locked<u8> = layout.locked(3);
    let none: Locked<u64> = layout.locked(0);
    let pairs: Locked<[u32; 2]> = layout.locked(65);
    let open: Open<AtomicU32> = layout.open(1);
    assert_eq!(layout.bytes(), empty + 64 + 9 * 64 + 64, "3 bytes, 520 bytes, 4 bytes");

    for region in [Region::on_heap(&layout), Region::shared(&layout, "test").expect("memory")] {
        let mut guard = region.lock();
        let (pairs, bytes, none) = guard.split((pairs, bytes, none));
        assert!(pairs.len() == 65 && pairs.iter().all(|pair| *pair == [0, 0]));
        assert!(none.is_empty());
        assert_eq!(bytes, [0, 0, 0]);
        let open = region.open(open);
        assert_eq!(open[0].load(Ordering::Relaxed), 0);
        let starts = [bytes.as_ptr() as usize, pairs.as_ptr() as usize, open.as_ptr() as usize];
        assert!(starts.iter().all(|start| start % 64 == 0), "{starts:x?}");
        assert_eq!([starts[1] - starts[0], starts[2] - starts[1]], [64, 9 * 64]);
    }
}

#[test]
#[should_panic(expected = "a part is handed out once")]
fn a_part_is_not_handed_out_twice() {
    let shared = Shared::on_heap();
    let _ = shared.region.lock().split((shared.pair, shared.pair));
}

#[test]
#[should_panic(expected = "a part belongs to the region of its layout")]
fn a_part_of_another_layout_is_refused() {
    let (one, other) = (Shared::on_heap(), Shared::on_heap());
    let _ = one.region.lock().split((other.pair,));
}

#[test]
#[should_panic(expected = "a part belongs to the region of its layout")]
fn a_part_that_came_after_the_region_is_refused() {
    let mut layout = Layout::new();
    let region = Region::on_heap(&layout);
    let late: Open<AtomicU64> = layout.open(1);
    region.open(late);
}

#[test]
#[should_panic(expected = "a layout has at most 64 parts")]
fn a_layout_has_at_most_64_parts() {
    let mut layout = Layout::new();
    for _ in 0..65 {
        let _: Locked<u8> = layout.locked(1);
    }
}

#[test]
#[should_panic(expected = "a layout fits into the address space")]
fn a_layout_cannot_overflow() {
    let _: Locked<u64> = Layout::new().locked(usize::MAX / 8);
}

#[test]
fn a_name_with_a_zero_byte_is_an_error() {
    let error = Region::shared(&Layout::new(), "zero\0byte").expect_err("no name");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn shared_memory_is_allocated_at_once_and_its_size_is_sealed() {
    let mut layout = Layout::new();
    let _: Locked<u8> = layout.locked(1 << 20);
    let region = Region::shared(&layout, "test").expect("memory");
    let file = File::from(region.fd().expect("a file").try_clone_to_owned().expect("a copy"));
    let facts = file.metadata().expect("facts");
    assert_eq!(facts.len(), layout.bytes() as u64);
    assert!(facts.blocks() * 512 >= facts.len(), "{} blocks", facts.blocks());

    for length in [0, facts.len() / 2, facts.len() + 1] {
        let error = file.set_len(length).expect_err("sealed");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{length}");
    }
    // SAFETY: numbers alone.
    let more = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_WRITE) };
    assert_eq!(more, -1, "no one can seal it against writing");
    assert!(Region::on_heap(&layout).fd().is_none());
}

#[test]
fn a_forgotten_guard_keeps_the_memory_mapped() {
    let shared = Shared::on_heap();
    let mark: *const AtomicU64 = shared.mark(0);
    forget(shared.region.lock());
    drop(shared);
    // The C library now writes to the forgotten lock, as the last one of this thread.
    assert_eq!(Shared::on_heap().add(), Found::Clean);
    // SAFETY: that is the claim.
    assert_eq!(unsafe { &*mark }.load(Ordering::Relaxed), 0);
}
