//! The lock while it is held.

use std::marker::PhantomData;
use std::thread;
use std::time::Duration;

use super::clock::monotonic;
use super::holder::Holder;
use super::layout::Locked;
use super::lock::Found;
use super::plain::Plain;
use super::region::Region;
use super::watchdog::Watchdog;
use crate::time::{Nanos, SECOND};

/// A wait for the lock checks its holder this often.
const WAIT_STEP: Duration = Duration::from_millis(100);
/// Control kills a holder that makes no progress for 1 s. A waiter kills it after this time, in case
/// control itself waits for the lock.
const HOLDER_TIMEOUT: Nanos = 3 * SECOND;

/// The lock could not be taken in time. Holds who had it then, if anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTimeout(pub Option<Holder>);

/// The right to access the locked parts of a region.
///
/// Dropping it unlocks. If it is dropped by a panic, or was found inconsistent and is not
/// [`repaired`](Self::repaired), the next taker finds it inconsistent.
#[derive(Debug)]
#[must_use = "the lock is free again once this is dropped"]
pub struct Guard<'r> {
    region: &'r Region,
    found: Found,
    /// Only the thread that locked a mutex may unlock it.
    not_send: PhantomData<*mut ()>,
}

impl<'r> Guard<'r> {
    /// For a lock that the calling thread has just taken.
    pub(super) fn new(region: &'r Region, found: Found) -> Self {
        Guard { region, found, not_send: PhantomData }
    }

    pub fn found(&self) -> Found {
        self.found
    }

    /// The holder has repaired what it found.
    pub fn repaired(&mut self) {
        self.found = Found::Clean;
    }

    /// The locked parts, all at once: a tuple of [`Locked`] gives a tuple of slices.
    ///
    /// Panics if a part is named twice, or belongs to another layout.
    #[inline]
    pub fn split<P: Parts>(&mut self, parts: P) -> P::Slices<'_> {
        parts.slices(self)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let left = if thread::panicking() { Found::Inconsistent } else { self.found };
        self.region.unlock(left);
    }
}

impl Region {
    /// Takes the lock, however long that takes.
    ///
    /// If the same holder makes no progress for 3 s, this kills it: all processes would stand still
    /// otherwise. Panics if this thread holds the lock already.
    #[inline]
    pub fn lock(&self) -> Guard<'_> {
        match self.header().try_lock() {
            Some(found) => Guard::new(self, found),
            None => self.wait(),
        }
    }

    #[cold]
    fn wait(&self) -> Guard<'_> {
        let mut watchdog = Watchdog::new(HOLDER_TIMEOUT);
        loop {
            match self.try_lock(WAIT_STEP) {
                Ok(guard) => return guard,
                Err(LockTimeout(holder)) => {
                    if let Some(holder) = watchdog.check(holder, monotonic()) {
                        // If that fails, the next step tries again.
                        let _ = self.kill(holder);
                    }
                }
            }
        }
    }

    /// Takes the lock if it comes free in that time.
    pub fn try_lock(&self, timeout: Duration) -> Result<Guard<'_>, LockTimeout> {
        let deadline = monotonic().saturating_add(timeout.as_nanos() as Nanos);
        match self.header().lock_until(deadline) {
            Some(found) => Ok(Guard::new(self, found)),
            None => Err(LockTimeout(self.holder())),
        }
    }
}

/// Tuples of [`Locked`].
pub trait Parts {
    type Slices<'g>;

    #[doc(hidden)]
    fn slices<'g>(self, guard: &'g mut Guard<'_>) -> Self::Slices<'g>;
}

macro_rules! tuples {
    ($($type:ident)*) => {
        impl<$($type: Plain),*> Parts for ($(Locked<$type>,)*) {
            type Slices<'g> = ($(&'g mut [$type],)*);

            #[inline]
            fn slices<'g>(self, guard: &'g mut Guard<'_>) -> Self::Slices<'g> {
                #[expect(non_snake_case, reason = "named as their types")]
                let ($($type,)*) = self;
                guard.region.check([$($type.part),*]);
                // SAFETY: the parts are this region's and do not overlap. The lock keeps away all
                // other threads and processes, the borrow `'g` of its guard all else.
                unsafe { ($(&mut *guard.region.slice::<$type>($type.part),)*) }
            }
        }
    };
}

tuples! { A }
tuples! { A B }
tuples! { A B C }
tuples! { A B C D }
tuples! { A B C D E }
tuples! { A B C D E F }
tuples! { A B C D E F G }
tuples! { A B C D E F G H }
tuples! { A B C D E F G H I }
tuples! { A B C D E F G H I J }
tuples! { A B C D E F G H I J K }
tuples! { A B C D E F G H I J K L }
