//! Memory that processes share: a segment of typed parts under one robust lock, and the means to
//! wake its users.
//!
//! * [`Layout`] plans the parts, [`Region`] is the memory, [`Plain`] says what may lie in it
//! * [`Guard`] is the lock while it is held: the only way to the locked parts
//! * [`Watchdog`] finds a [`Holder`] that has stopped, [`Region::kill`] ends it
//! * [`Wakers`] wakes workers, [`monotonic`] is the clock that all processes share
//!
//! All `unsafe` of Penstock is here. Linux with glibc only.

#![deny(clippy::undocumented_unsafe_blocks)]

mod clock;
mod guard;
mod holder;
mod layout;
mod lock;
mod names;
mod plain;
mod region;
mod wakers;
mod watchdog;

pub use clock::monotonic;
pub use guard::{Guard, LockTimeout, Parts};
pub use holder::Holder;
pub use layout::{Layout, Locked, Open};
pub use lock::Found;
pub use names::{Names, NamesParts};
pub use plain::Plain;
pub(crate) use plain::plain;
pub use region::Region;
pub use wakers::Wakers;
pub use watchdog::Watchdog;
