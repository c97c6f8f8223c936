//! The robust lock of a region: the C library's mutex and a counter beside it.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, compiler_fence};

use super::clock::timespec;
use super::holder::Holder;
use crate::time::Nanos;

unsafe extern "C" {
    /// Since glibc 2.30; the libc crate lacks it. Unlike `pthread_mutex_timedlock` it waits no longer when
    /// someone sets the clock back.
    fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// The state of what a lock guards, as its taker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Clean,
    /// A holder died or panicked, and nobody has repaired yet what it left half done.
    Inconsistent,
}

/// The lock, at the start of a region.
#[repr(C)]
pub(super) struct Lock {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    /// Counts locks and unlocks; odd while what it guards may be half changed. Only the holder writes it,
    /// before and after everything else, so it stays odd when a holder dies or panics, until someone has
    /// repaired the state.
    progress: AtomicU64,
}

// SAFETY: a process-shared mutex is made to be used by several threads at once, and the count is
// atomic.
unsafe impl Sync for Lock {}

impl Lock {
    /// Makes the lock, free and clean.
    ///
    /// # Safety
    ///
    /// `lock` points to zeroed memory that no one else uses yet. It may go away only while the lock
    /// is free: the C library links the mutexes that a thread holds with each other.
    pub(super) unsafe fn create(lock: *const Lock) {
        // SAFETY: zeroed memory is a valid `Lock`, though not yet a usable one.
        let lock = unsafe { &*lock };
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first and destroyed last, and nobody uses the
        // mutex yet.
        unsafe {
            succeed(libc::pthread_mutexattr_init(attributes));
            succeed(libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED));
            succeed(libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST));
            succeed(libc::pthread_mutexattr_settype(attributes, libc::PTHREAD_MUTEX_ERRORCHECK));
            succeed(libc::pthread_mutex_init(lock.mutex.get(), attributes));
            succeed(libc::pthread_mutexattr_destroy(attributes));
        }
        lock.check();
    }

    /// Panics unless the lock word is where [`Self::holder`] looks for it.
    fn check(&self) {
        let found = self.try_lock().expect("a new lock is free");
        // SAFETY: it has no effect but its result.
        let this = unsafe { libc::gettid() } as u32;
        assert_eq!(self.holder().map(|holder| holder.tid), Some(this), "glibc's mutex");
        self.unlock(found);
    }

    pub(super) fn try_lock(&self) -> Option<Found> {
        // SAFETY: the mutex was initialised by `create`.
        self.locked(unsafe { libc::pthread_mutex_trylock(self.mutex.get()) })
    }

    /// Waits for the lock until that moment of `monotonic()`.
    pub(super) fn lock_until(&self, deadline: Nanos) -> Option<Found> {
        let until = timespec(deadline);
        // SAFETY: the mutex was initialised by `create`, and `until` outlives the call.
        self.locked(unsafe {
            pthread_mutex_clocklock(self.mutex.get(), libc::CLOCK_MONOTONIC, &raw const until)
        })
    }

    fn locked(&self, result: libc::c_int) -> Option<Found> {
        match result {
            libc::EBUSY | libc::ETIMEDOUT => return None,
            libc::EOWNERDEAD => {
                // From here on the mutex is like any other, and the count alone says what is
                // repaired: so a taker that dies in turn leaves the next one no worse off.
                // SAFETY: this thread has just taken it.
                succeed(unsafe { libc::pthread_mutex_consistent(self.mutex.get()) });
            }
            result => succeed(result),
        }
        let progress = self.progress.load(Ordering::Relaxed);
        self.progress.store((progress + 1) | 1, Ordering::Relaxed);
        // For the compiler alone, which could move a change before the counter: a process dies between two
        // instructions, and the next holder of the lock sees all stores before that.
        compiler_fence(Ordering::SeqCst);
        Some(if progress.is_multiple_of(2) { Found::Clean } else { Found::Inconsistent })
    }

    /// Unlocks; the calling thread holds the lock.
    pub(super) fn unlock(&self, left: Found) {
        let progress = self.progress.load(Ordering::Relaxed);
        let next = match left {
            Found::Clean => progress + 1,
            Found::Inconsistent => progress + 2,
        };
        compiler_fence(Ordering::SeqCst);
        self.progress.store(next, Ordering::Relaxed);
        // SAFETY: the mutex was initialised by `create`; it refuses whoever does not hold it.
        succeed(unsafe { libc::pthread_mutex_unlock(self.mutex.get()) });
    }

    /// Who holds the lock now.
    pub(super) fn holder(&self) -> Option<Holder> {
        // The kernel must find the holder when it clears up after a dead thread, so the lock word
        // holds the thread id (Linux, Documentation/locking/robust-futex-ABI) until that thread is
        // dead. With glibc the word comes first, which `create` checks.
        // SAFETY: the word is aligned and lives as long as the lock; it is only changed atomically.
        let word = unsafe { AtomicU32::from_ptr(self.mutex.get().cast()) };
        let tid = word.load(Ordering::Acquire) & libc::FUTEX_TID_MASK;
        let progress = self.progress.load(Ordering::Relaxed);
        (tid != 0).then_some(Holder { tid, progress })
    }
}

/// Panics if a call failed, which only a bug in this file can cause.
fn succeed(result: libc::c_int) {
    assert!(result == 0, "the lock of a region: {}", io::Error::from_raw_os_error(result));
}
