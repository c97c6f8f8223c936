//! Where the parts of a segment lie.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock::Lock;
use super::plain::Plain;

/// Parts begin on cache lines of their own, to avoid false sharing.
const LINE: usize = 64;

/// A plan of the memory that processes will share.
///
/// The lock comes first, then every part in the order in which it was added.
#[derive(Debug)]
pub struct Layout {
    /// Identifies this plan within the process.
    id: u64,
    /// A bit for each part.
    parts: u64,
    bytes: usize,
}

impl Layout {
    #[expect(clippy::new_without_default, reason = "no two layouts are equal")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Layout { id, parts: 0, bytes: size_of::<Lock>().next_multiple_of(LINE) }
    }

    /// Adds `count` values that only the holder of the lock can reach.
    pub fn locked<T: Plain>(&mut self, count: usize) -> Locked<T> {
        Locked { part: self.part::<T>(count), of: PhantomData }
    }

    /// Adds `count` values that can be reached at any time: atomics.
    pub fn open<T: Plain + Sync>(&mut self, count: usize) -> Open<T> {
        Open { part: self.part::<T>(count), of: PhantomData }
    }

    /// Size of the segment.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn part<T>(&mut self, count: usize) -> Part {
        const { assert!(align_of::<T>() <= LINE) };
        let bit = 1u64.checked_shl(self.parts.count_ones());
        let bit = bit.expect("a layout has at most 64 parts");
        let part = Part { layout: self.id, bit, offset: self.bytes, count };
        self.parts |= bit;
        self.bytes = count
            .checked_mul(size_of::<T>())
            .and_then(|bytes| self.bytes.checked_add(bytes))
            .and_then(|end| end.checked_next_multiple_of(LINE))
            .filter(|&end| isize::try_from(end).is_ok())
            .expect("a layout fits into the address space");
        part
    }

    /// The plan as it is now.
    pub(super) fn plan(&self) -> Plan {
        Plan { layout: self.id, parts: self.parts }
    }
}

/// A part of a layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    layout: u64,
    bit: u64,
    pub(super) offset: usize,
    pub(super) count: usize,
}

/// What a region was made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    layout: u64,
    parts: u64,
}

impl Plan {
    /// Panics unless these are different parts of this plan: then they lie within the region, have the
    /// types of their handles, and do not overlap.
    #[inline]
    pub(super) fn check<const N: usize>(self, parts: [Part; N]) {
        // Sums instead of a test for each: this happens under the lock.
        let (mut others, mut bits) = (0, 0);
        for part in &parts {
            others |= part.layout ^ self.layout;
            bits |= part.bit;
        }
        let are_ours = others == 0 && bits & !self.parts == 0;
        assert!(are_ours, "a part belongs to the region of its layout");
        assert!(N == 1 || bits.count_ones() as usize == N, "a part is handed out once");
    }
}

/// Values of a segment that only the holder of its lock can reach, by
/// [`Guard::split`](super::Guard::split).
pub struct Locked<T> {
    pub(super) part: Part,
    of: PhantomData<fn() -> T>,
}

/// Values of a segment that can be reached at any time, by [`Region::open`](super::Region::open).
pub struct Open<T> {
    pub(super) part: Part,
    of: PhantomData<fn() -> T>,
}

/// By hand: a derive would require the same traits of `T`.
macro_rules! handle {
    ($type:ident) => {
        impl<T> Copy for $type<T> {}

        impl<T> Clone for $type<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> fmt::Debug for $type<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.part).finish()
            }
        }
    };
}

handle!(Locked);
handle!(Open);
