//! A process dies after each single store of an operation. The next holder of the lock must find all
//! requests of others as they were, and the one that was being changed as before or as after.
//!
//! The operation runs in a traced child, one instruction at a time. Whenever the segment has changed, its
//! bytes are copied into a second segment with a free lock, which then looks as the first one would after
//! that death. There the lock is taken, the state is judged, and everything is served to its end. The same
//! is done at each kill point, without a child.

// Stepping through the atomics of an ARM processor without LSE never ends.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)] // memory is mapped, processes are traced
#![allow(unreachable_pub)]

mod fixture;
mod judge;
mod memory;
mod operations;
mod steps;
