//! What may lie in shared memory.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// A type whose values may lie in a [`Region`](super::Region).
///
/// # Safety
///
/// * All bytes zero is a value of it.
/// * It holds no pointer: other processes have other memory.
/// * It needs no drop: nobody runs it when a process is killed.
/// * A mix of two of its values, as a writer leaves it who dies between two stores, is still a
///   value. So an enum may not have fields.
pub unsafe trait Plain: Sized + Send + 'static {}

macro_rules! numbers {
    ($($type:ty)*) => {
        $(
            // SAFETY: a number of one word, of which every bit pattern is a value.
            unsafe impl Plain for $type {}
        )*
    };
}

numbers! { u8 u16 u32 u64 i64 f64 AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicI64 }

// SAFETY: an array asks of its type what its items do.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Declares a type of this crate to be [`Plain`].
///
/// The compiler refuses a type that needs drop, that a thread may not hand to another, or that has
/// no value with all bytes 0 or all bytes 1: as nothing lies at the address 0x0101…, the latter
/// finds references and functions, even optional ones. What it cannot see is an enum with fields.
macro_rules! plain {
    ($type:ty) => {
        // SAFETY: checked below, but for enums with fields, which the caller leaves out.
        #[allow(unsafe_code)]
        unsafe impl $crate::shm::Plain for $type {}

        #[allow(unsafe_code, clippy::declare_interior_mutable_const)]
        const _: () = {
            // SAFETY: evaluated by the compiler alone, which refuses what is not a value.
            const _: $type = unsafe { std::mem::transmute([0u8; size_of::<$type>()]) };
            // SAFETY: as above.
            const _: $type = unsafe { std::mem::transmute([1u8; size_of::<$type>()]) };
            assert!(!std::mem::needs_drop::<$type>());
        };
    };
}
pub(crate) use plain;
