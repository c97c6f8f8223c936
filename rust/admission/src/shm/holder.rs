//! The holder of a region's lock, as other processes see it.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// One holding of the lock. Equal to another only if it is the same one and has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The kernel's id of the thread that holds the lock.
    pub tid: u32,
    /// Grows with each lock and unlock.
    pub progress: u64,
}

impl Holder {
    /// The process of that thread.
    ///
    /// Errors: it has ended, or /proc cannot be read.
    pub fn pid(&self) -> io::Result<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.tid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
        line.and_then(|pid| pid.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    }
}

/// A process, by a descriptor: a later process with the same id is not mistaken for it.
pub(super) struct Process(OwnedFd);

impl Process {
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: the call takes two numbers, and answers a descriptor that is ours or an error.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Process(unsafe { OwnedFd::from_raw_fd(fd as _) }))
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and the kernel reads no info through a null pointer.
        let result =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, no_info, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
