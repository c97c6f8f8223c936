//! How one process wakes another.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// One eventfd for each worker. They are made before the fork, so that every process can wake each worker.
#[derive(Debug)]
pub struct Wakers(Vec<File>);

impl Wakers {
    /// Errors: no more descriptors.
    pub fn new(workers: usize) -> io::Result<Self> {
        (0..workers).map(|_| eventfd()).collect::<io::Result<_>>().map(Wakers)
    }

    /// For a single process, which looks at its notifications by itself.
    pub fn none() -> Self {
        Wakers(Vec::new())
    }

    /// Makes the descriptors of these workers readable; a set of bits.
    pub fn wake(&self, mut workers: u64) {
        while workers != 0 {
            let worker = workers.trailing_zeros() as usize;
            workers &= workers - 1;
            if let Some(mut file) = self.0.get(worker) {
                // Fails only when the counter is full: then the descriptor is readable anyway.
                let _ = file.write(&1u64.to_ne_bytes());
            }
        }
    }

    /// The descriptor that becomes readable when a worker is woken; none for a single process.
    pub fn fd(&self, worker: usize) -> Option<RawFd> {
        self.0.get(worker).map(AsRawFd::as_raw_fd)
    }

    /// Makes a worker's descriptor unreadable. To be called before it reads its notifications: later ones
    /// wake it again.
    pub fn drain(&self, worker: usize) {
        if let Some(mut file) = self.0.get(worker) {
            // Fails only when there is nothing to read.
            let _ = file.read(&mut [0; size_of::<u64>()]);
        }
    }
}

fn eventfd() -> io::Result<File> {
    // SAFETY: the call takes two numbers, and answers a descriptor that is ours or an error.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { File::from_raw_fd(fd) })
}
