//! Shared memory between real processes: they are forked, stopped and killed while they hold the
//! lock.

#![allow(unsafe_code)] // processes are forked and signalled
#![allow(unreachable_pub)]

mod shared;

mod clock;
mod deaths;
mod instructions;
mod lock;
mod memory;
mod stopped;
mod wakers;
mod watchdog;
