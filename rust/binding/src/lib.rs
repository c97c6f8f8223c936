//! `penstock._core`: the core's worker on real sockets and event loops, and the classes that Python holds.
//!
//! It decides nothing. [`runner`] passes events to the worker and carries out its effects; [`lane`] and [`upstream`]
//! are the asyncio protocols; [`io`] moves bytes.

mod admission;
mod arguments;
mod attributes;
#[cfg(feature = "faults")]
mod faults;
mod gateway;
mod handle;
mod io;
mod lane;
mod runner;
mod segment;
mod snapshot;
mod upstream;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::admission::Admission;
    #[pymodule_export]
    use crate::attributes::RequestAttributes;
    #[cfg(feature = "faults")]
    #[pymodule_export]
    use crate::faults::arm_panic;
    #[pymodule_export]
    use crate::gateway::{Gateway, endpoints};
    #[pymodule_export]
    use crate::handle::RequestHandle;
    #[pymodule_export]
    use crate::io::Poller;
    #[pymodule_export]
    use crate::lane::{LaneConfig, LaneConnection};
    #[pymodule_export]
    use crate::segment::Segment;
    #[pymodule_export]
    use crate::upstream::UpstreamConnection;
}
