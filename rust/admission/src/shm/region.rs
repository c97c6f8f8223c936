//! The memory itself.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use super::holder::{Holder, Process};
use super::layout::{Layout, Open, Part, Plan};
use super::lock::{Found, Lock};
use super::plain::Plain;

/// Memory with the parts of a [`Layout`], all zero at first.
///
/// A shared region is inherited over `fork`: parent and children see the same memory.
#[derive(Debug)]
pub struct Region {
    memory: NonNull<u8>,
    bytes: usize,
    plan: Plan,
    /// The file of shared memory.
    file: Option<OwnedFd>,
}

// SAFETY: the memory belongs to no thread. Its locked parts are `Send`, and reached by one thread at
// a time; its open parts are `Sync`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Private memory, for a single process.
    pub fn on_heap(layout: &Layout) -> Region {
        Region::new(layout, None).expect("there is memory")
    }

    /// Memory to share with processes that this one will fork. It is allocated and mapped at once, and its
    /// size is sealed.
    ///
    /// `name` shows in /proc. Errors: no memory, no descriptors, a zero byte in the name.
    pub fn shared(layout: &Layout, name: &str) -> io::Result<Region> {
        Region::new(layout, Some(memfd(name, layout.bytes())?))
    }

    fn new(layout: &Layout, file: Option<OwnedFd>) -> io::Result<Region> {
        let bytes = layout.bytes();
        let memory = map(bytes, file.as_ref())?;
        // SAFETY: the memory is new, zero, longer than a `Lock` (`Layout::new`), and aligned to a
        // page. `drop` unmaps it only while the lock is free.
        unsafe { Lock::create(memory.cast().as_ptr()) };
        Ok(Region { memory, bytes, plan: layout.plan(), file })
    }

    /// The descriptor of shared memory, for processes that do not inherit it.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// An open part.
    ///
    /// Panics if it belongs to another layout.
    #[inline]
    pub fn open<T: Plain + Sync>(&self, Open { part, .. }: Open<T>) -> &[T] {
        self.check([part]);
        // SAFETY: the part is this region's; open parts are only ever shared, by anyone.
        unsafe { &*self.slice::<T>(part) }
    }

    /// Panics unless these are different parts of this region.
    #[inline]
    pub(super) fn check<const N: usize>(&self, parts: [Part; N]) {
        self.plan.check(parts);
    }

    /// Where a part lies.
    ///
    /// # Safety
    ///
    /// The part has passed [`Self::check`], and `T` is the type of its handle.
    #[inline]
    pub(super) unsafe fn slice<T>(&self, part: Part) -> *mut [T] {
        // SAFETY: the part lies within this region.
        let start = unsafe { self.memory.add(part.offset) };
        ptr::slice_from_raw_parts_mut(start.cast().as_ptr(), part.count)
    }

    /// Who holds the lock now. Reads two words; takes no lock.
    pub fn holder(&self) -> Option<Holder> {
        self.header().holder()
    }

    /// Sends SIGKILL to the holder's process, if it still holds the lock. Returns whether it did.
    ///
    /// Private memory has no holder but this process, which is left alone. Errors: /proc cannot be
    /// read, or the process is not ours to kill.
    pub fn kill(&self, holder: Holder) -> io::Result<bool> {
        if self.file.is_none() {
            return Ok(false);
        }
        let process = holder.pid().and_then(Process::open);
        // The kernel releases the lock of a dead thread before its id is reused. So if this holder is still
        // there, the descriptor is of its process.
        if self.holder() != Some(holder) {
            return Ok(false);
        }
        process?.kill()?;
        Ok(true)
    }

    pub(super) fn unlock(&self, left: Found) {
        self.header().unlock(left);
    }

    pub(super) fn header(&self) -> &Lock {
        // SAFETY: `new` has put it at the start.
        unsafe { self.memory.cast().as_ref() }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // A guard that was forgotten, not dropped, is still in its thread's list of locks. The C library
        // will follow that, so the memory has to stay.
        if self.holder().is_none() {
            // SAFETY: the mapping is ours, and every borrow of it has ended.
            unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
        }
    }
}

/// An anonymous file.
fn memfd(name: &str, bytes: usize) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    // SAFETY: the name ends with a zero.
    let fd = succeed(unsafe {
        libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    // Allocated now: a store into a page that cannot be had is a SIGBUS.
    // SAFETY: the call takes numbers alone.
    succeed(unsafe { libc::fallocate(fd, 0, 0, bytes.cast_signed() as libc::off_t) })?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the call takes numbers alone.
    succeed(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) })?;
    Ok(file)
}

fn map(bytes: usize, file: Option<&OwnedFd>) -> io::Result<NonNull<u8>> {
    let (flags, fd) = match file {
        // Populated, so that no holder of the lock waits for a page.
        Some(file) => (libc::MAP_SHARED | libc::MAP_POPULATE, file.as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, where the kernel likes.
    let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, fd, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(memory.cast()).expect("nothing is mapped at 0"))
}

fn succeed(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
