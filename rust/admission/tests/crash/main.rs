//! A process dies after each single store of an operation: whoever takes the lock next must find
//! every request of others as it was, and the one that was being changed as before or as after.
//!
//! The operation runs in a child that is traced, one instruction at a time. Whenever the segment has
//! changed, its bytes are copied into a second segment with a free lock of its own, which then looks
//! as the first one would after that death. There the lock is taken, what is found is judged, and
//! everything is served to its end.

// Stepping through the atomics of an ARM without LSE never ends.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)] // memory is mapped, processes are traced
#![allow(unreachable_pub)]

mod fixture;
mod judge;
mod memory;
mod operations;
mod steps;
