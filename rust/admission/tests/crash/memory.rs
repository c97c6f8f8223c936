//! The bytes of a segment.

use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;

use penstock_admission::shm::Region;

/// The C library's mutex comes first in a segment. It cannot be moved, and is never copied.
const MUTEX: usize = size_of::<libc::pthread_mutex_t>();

/// A second mapping of a region's memory.
pub struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

impl Memory {
    pub fn of(region: &Region, bytes: usize) -> Self {
        let fd = region.fd().expect("it is shared").as_raw_fd();
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, where the kernel likes.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        Memory { start: NonNull::new(start.cast()).expect("nothing is mapped at 0"), bytes }
    }

    /// All bytes behind the mutex. The caller ensures that nobody writes there meanwhile.
    pub fn read(&self) -> &[u8] {
        // SAFETY: within the mapping. Its users stand still: a traced child between two steps, or
        // this thread itself.
        unsafe { slice::from_raw_parts(self.start.as_ptr().add(MUTEX), self.bytes - MUTEX) }
    }

    /// Makes all bytes behind the mutex equal to these. Nobody holds the lock.
    pub fn write(&self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.bytes - MUTEX);
        // SAFETY: within the mapping, and nobody has a reference into it but this thread, which is
        // here.
        unsafe {
            let start = self.start.as_ptr().add(MUTEX);
            ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every borrow of it has ended.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
